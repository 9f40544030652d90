// SPDX-License-Identifier: Apache-2.0

import CMartletKernels
import MartletAttention
import MartletCompute
import MartletTestSupport
import Testing

@testable import MartletCPU

/// One sequence's q, k and v, and its K and V in a poisoned cache with a shuffled block table.
private struct AttentionCase {
    let heads: AttentionHeads
    let length: Int
    let blockSize: Int
    let queries: [[Float]]
    let keys: [[[Float]]]
    let values: [[[Float]]]
    let cache: CPUKeyValueCache
    let blockTable: [Int32]

    init(_ heads: AttentionHeads, length: Int, blockSize: Int, _ random: inout SeededGenerator) throws {
        self.heads = heads
        self.length = length
        self.blockSize = blockSize
        func rounded(_ values: [Float]) -> [Float] { values.map { BFloat16.float(BFloat16.round($0)) } }
        queries = (0..<length).map { _ in rounded(random.normals(heads.outputColumns)) }
        keys = (0..<heads.keyValueHeads).map { _ in (0..<length).map { _ in rounded(random.normals(heads.headSize)) } }
        values = (0..<heads.keyValueHeads).map { _ in (0..<length).map { _ in rounded(random.normals(heads.headSize)) }
        }
        let blocks = (length + blockSize - 1) / blockSize
        let layout = CacheLayout(
            layers: 1, keyValueHeads: heads.keyValueHeads, headSize: heads.headSize, blockSize: blockSize,
            blockCount: blocks + 3)
        cache = try CPUKeyValueCache(layout)
        blockTable = Array((0..<Int32(blocks + 3)).shuffled(using: &random).prefix(blocks))
        // NaN everywhere: an output that saw stale memory is NaN.
        cache.memory.pointer(to: UInt16.self).update(repeating: 0x7fc0, count: cache.memory.byteCount / 2)
        for head in 0..<heads.keyValueHeads {
            for token in 0..<length { write(token: token, head: head) }
        }
    }

    private func write(token: Int, head: Int) {
        let block = Int(blockTable[token / blockSize])
        martlet_write_cache(
            keys[head][token], values[head][token],
            cache.pointer(layer: 0) + (block * heads.keyValueHeads + head) * cache.headElements,
            Int64(token % blockSize), Int64(heads.headSize), Int64(blockSize))
    }

    /// Attends rows `range` of the sequence as one item and returns their outputs.
    func attend(_ range: Range<Int>, _ kernels: MartletKernelTable) -> [[Float]] {
        var output = [Float](repeating: .nan, count: range.count * heads.outputColumns)
        let query = range.flatMap { queries[$0] }
        query.withUnsafeBufferPointer { query in
            output.withUnsafeMutableBufferPointer { output in
                blockTable.withUnsafeBufferPointer { table in
                    for head in 0..<heads.keyValueHeads {
                        let item = MartletAttentionItem(
                            query: query.baseAddress!, queryStride: Int64(heads.outputColumns),
                            output: output.baseAddress!,
                            outputStride: Int64(heads.outputColumns), cache: cache.pointer(layer: 0),
                            blockTable: table.baseAddress!, rows: Int64(range.count),
                            firstPosition: Int64(range.lowerBound),
                            keyValueHeads: Int64(heads.keyValueHeads), groupSize: Int64(heads.groupSize),
                            headSize: Int64(heads.headSize), blockSize: Int64(blockSize),
                            scale: 1 / Float(heads.headSize).squareRoot())
                        kernels.attendRows(item, Int64(head))
                    }
                }
            }
        }
        return range.indices.map { row in
            let start = (row - range.lowerBound) * heads.outputColumns
            return Array(output[start..<start + heads.outputColumns])
        }
    }

    /// The same by the formula.
    func expected(row: Int) -> [Double] {
        (0..<heads.queryHeads).flatMap { head in
            let keyValueHead = head / heads.groupSize
            let elements = head * heads.headSize..<(head + 1) * heads.headSize
            return AttentionReference.attend(
                query: queries[row][elements].map(Double.init), keys: keys[keyValueHead].map { $0.map(Double.init) },
                values: values[keyValueHead].map { $0.map(Double.init) }, position: row,
                scale: 1 / Double(heads.headSize).squareRoot())
        }
    }
}

private let shapes = [
    (AttentionHeads(queryHeads: 9, keyValueHeads: 3, headSize: 64), 16),
    (AttentionHeads(queryHeads: 1, keyValueHeads: 1, headSize: 16), 32),
    (AttentionHeads(queryHeads: 10, keyValueHeads: 2, headSize: 80), 16),
    (AttentionHeads(queryHeads: 8, keyValueHeads: 2, headSize: 128), 64),
    (AttentionHeads(queryHeads: 2, keyValueHeads: 2, headSize: 256), 16),
]
private let lengths = [1, 2, 15, 16, 17, 63, 64, 65, 130, 200]

@Suite struct AttentionKernelTests {
    @Test(arguments: InstructionSet.available) func agreesWithTheFormula(_ instructionSet: InstructionSet) throws {
        let kernels = try #require(instructionSet.kernels)
        var random = SeededGenerator(1)
        for (heads, blockSize) in shapes {
            for length in lengths {
                let sample = try AttentionCase(heads, length: length, blockSize: blockSize, &random)
                let found = sample.attend(0..<length, kernels)
                for row in [0, length / 2, length - 1] {
                    // Probabilities are rounded to bf16, 2^-9 at most, and values are about 1.
                    for (a, b) in zip(found[row], sample.expected(row: row)) { #expect(abs(Double(a) - b) < 8e-3) }
                }
            }
        }
    }

    /// A row's bits are the same alone and among any neighbours, whatever was written after it.
    @Test(arguments: InstructionSet.available) func rowsDoNotDependOnTheirTile(_ instructionSet: InstructionSet) throws
    {
        let kernels = try #require(instructionSet.kernels)
        var random = SeededGenerator(2)
        for (heads, blockSize) in shapes {
            let length = 150
            let sample = try AttentionCase(heads, length: length, blockSize: blockSize, &random)
            let alone = (0..<length).flatMap { sample.attend($0..<$0 + 1, kernels) }
            for _ in 0..<12 {
                let start = Int.random(in: 0..<length, using: &random)
                let end = Int.random(in: start + 1...min(length, start + 40), using: &random)
                #expect(sample.attend(start..<end, kernels) == Array(alone[start..<end]))
            }
        }
    }
}
