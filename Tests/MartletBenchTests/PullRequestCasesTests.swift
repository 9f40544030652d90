// SPDX-License-Identifier: Apache-2.0

import MartletAttention
import MartletBench
import MartletCPU
import MartletCompute
import MartletReference
import MartletTestSupport
import Testing

/// The unit test of vLLM pull request 29020, with its sizes and tolerances: 1,536 cases. Its threshold for splitting
/// keys, 0 or 8 sequences, is here no room for partials, or ample room.
@Suite struct PullRequestCasesTests {
    fileprivate struct Shape: CustomTestStringConvertible {
        let lengths: [(query: Int, keys: Int)]
        let queryHeads: Int
        let keyValueHeads: Int
        let headSize: Int
        var testDescription: String { "\(lengths) \(queryHeads)/\(keyValueHeads) x \(headSize)" }
    }

    private static let shapes = [
        [(1, 1328), (5, 18), (129, 463)], [(1, 523), (1, 37), (1, 2011)], [(5, 18), (129, 463)],
    ].flatMap { lengths in
        [(4, 4), (8, 2)].flatMap { heads in
            [128, 256].map { size in
                Shape(
                    lengths: lengths.map { (query: $0.0, keys: $0.1) }, queryHeads: heads.0, keyValueHeads: heads.1,
                    headSize: size)
            }
        }
    }

    /// 128 of the cases: every combination beside a shape.
    @Test(arguments: shapes) fileprivate func agreesWithTheFormula(_ shape: Shape) throws {
        var random = SeededGenerator(29_020)
        let device = try CPUDevice(threads: 2)
        var cases = 0
        for blockCount in [32_768, 2_048] {
            for format in [FloatFormat.bfloat16, .float8E4M3] {
                let batch = try CacheOfBlocks(shape, blockCount: blockCount, format: format, &random)
                for window in [nil, 64, 128, 256] {
                    for softcap in [nil, Float(50)] {
                        cases += try batch.check(window: window, softcap: softcap, on: device)
                    }
                }
            }
        }
        #expect(cases == 128)
    }

    /// A cache of which the sequences use a few random blocks, some perhaps twice.
    private struct CacheOfBlocks {
        let shape: Shape
        let format: FloatFormat
        let cacheShape: CacheShape
        let sequences: [IsolatedAttention.Sequence]
        let queries: [Float]
        /// By block: `[blockSize, keyValueHeads, headSize]`.
        let keys: [Int32: [Float]]
        let values: [Int32: [Float]]

        init(
            _ shape: Shape, blockCount: Int, format: FloatFormat, _ random: inout SeededGenerator
        ) throws {
            self.shape = shape
            self.format = format
            cacheShape = CacheShape(
                layers: 1, keyValueHeads: shape.keyValueHeads, headSize: shape.headSize, blockSize: 16,
                blockCount: blockCount, format: .float(format))
            func numbers(_ count: Int) -> [Float] { random.normals(count).map { format.round($0) } }
            var sequences: [IsolatedAttention.Sequence] = []
            var (keys, values): ([Int32: [Float]], [Int32: [Float]]) = ([:], [:])
            for (query, length) in shape.lengths {
                let table = (0..<(length + 15) / 16).map { _ in
                    Int32.random(in: 0..<Int32(blockCount), using: &random)
                }
                for block in table where keys[block] == nil {
                    keys[block] = numbers(16 * shape.keyValueHeads * shape.headSize)
                    values[block] = numbers(16 * shape.keyValueHeads * shape.headSize)
                }
                sequences.append(IsolatedAttention.Sequence(queryLength: query, length: length, blockTable: table))
            }
            queries = numbers(shape.lengths.reduce(0) { $0 + $1.query } * shape.queryHeads * shape.headSize)
            (self.sequences, self.keys, self.values) = (sequences, keys, values)
        }

        /// Both launches, with room for partials and without. Returns how many cases that was.
        func check(window: Int?, softcap: Float?, on device: CPUDevice) throws -> Int {
            let heads = AttentionHeads(
                queryHeads: shape.queryHeads, keyValueHeads: shape.keyValueHeads, headSize: shape.headSize)
            var parameters = AttentionParameters(heads: heads, scale: 1 / Float(shape.headSize).squareRoot())
            parameters.softcap = softcap
            parameters.queryFormat = format
            if let window { parameters.visibility.scope = .window(window) }
            let expected = self.expected(parameters)
            var cases = 0
            for partials in [0, 1024] {
                let attention = try IsolatedAttention(
                    parameters, shape: cacheShape,
                    capacity: BatchCapacity(
                        tokens: 256, sequences: shape.lengths.count,
                        blocksPerSequence: sequences.map(\.blockTable.count).max() ?? 1, logitRows: 1,
                        partials: partials), on: device)
                for (block, keys) in keys {
                    try attention.store(
                        keys: keys, values: values[block] ?? [], slots: (0..<16).map { Int64(block) * 16 + $0 })
                }
                for splits in [false, true] {
                    attention.prepare(sequences)
                    try attention.setQueries(queries)
                    try attention.poisonOutputs()
                    try attention.run(attention.planner(splits: splits))
                    let tolerance: (absolute: Double, relative: Double) =
                        format.isEightBit ? (0.15, 0.15) : (1.5e-2, 1e-2)
                    let wrong = zip(try attention.outputs(), expected).filter { found, exact in
                        !(abs(Double(found) - exact) <= tolerance.absolute + tolerance.relative * abs(exact))
                    }
                    #expect(wrong.isEmpty, "\(parameters) \(splits) \(partials)")
                    cases += 1
                }
            }
            return cases
        }

        private func expected(_ parameters: AttentionParameters) -> [Double] {
            let reference = AttentionFormula(parameters)
            var row = 0
            var result: [Double] = []
            for sequence in sequences {
                let keys = (0..<shape.keyValueHeads).map { gather(self.keys, sequence, head: $0) }
                let values = (0..<shape.keyValueHeads).map { gather(self.values, sequence, head: $0) }
                for offset in 0..<sequence.queryLength {
                    for head in 0..<shape.queryHeads {
                        let start = (row * shape.queryHeads + head) * shape.headSize
                        let shared = head / parameters.heads.groupSize
                        result += reference.attend(
                            query: queries[start..<start + shape.headSize].map(Double.init), keys: keys[shared],
                            values: values[shared], position: sequence.length - sequence.queryLength + offset,
                            contextLength: sequence.length - sequence.queryLength, head: head)
                    }
                    row += 1
                }
            }
            return result
        }

        private func gather(
            _ blocks: [Int32: [Float]], _ sequence: IsolatedAttention.Sequence, head: Int
        ) -> [Double] {
            (0..<sequence.length).flatMap { token in
                let block = blocks[sequence.blockTable[token / 16]] ?? []
                let start = (token % 16 * shape.keyValueHeads + head) * shape.headSize
                return block[start..<start + shape.headSize].map(Double.init)
            }
        }
    }
}
