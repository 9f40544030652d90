// SPDX-License-Identifier: Apache-2.0

import MartletAttention
import MartletCPU
import MartletCompute
import MartletReference
import MartletTestSupport
import Testing

/// The kernels against the formula.
@Suite struct AttentionKernelTests {
    @Test(arguments: InstructionSet.available, [AttentionCase.Features(), .wholeSections])
    func agreesWithTheFormula(_ instructionSet: InstructionSet, _ features: AttentionCase.Features) throws {
        var random = SeededGenerator(11)
        let device = try CPUDevice(threads: 2, instructionSet: instructionSet, attentionSegmentLength: 128)
        for _ in 0..<100 {
            let sample = AttentionCase.random(features, &random)
            let found = try sample.run(AttentionCase.Way(splits: true), on: device, &random)
            // Probabilities may be rounded to bf16 beside bf16 values; a softcap's slope stretches f32's own rounding.
            let tolerance =
                switch sample.parameters.product(beside: sample.format) {
                case .float32: 3e-5
                case .int16: 2e-3
                case .bfloat16, .int8: 2e-2
                }
            let columns = sample.parameters.heads.outputColumns
            for (index, sequence) in sample.sequences.enumerated() {
                for row in Set([0, sequence.queryLength / 2, sequence.queryLength - 1]) {
                    let output = found[index][row * columns..<(row + 1) * columns]
                    let expected = sample.expected(sequence: index, row: row)
                    let agrees = zip(output, expected).allSatisfy {
                        abs(Double(Float(bitPattern: $0)) - $1) < tolerance
                    }
                    #expect(agrees, "\(sample.parameters) \(sample.format) \(sample.blockSize)")
                }
            }
        }
    }

    /// The reference device writes to its cache and reads from it what the formula is given here.
    @Test(arguments: [AttentionCase.Features(), .wholeSections])
    func referenceDeviceAgreesWithTheFormula(_ features: AttentionCase.Features) throws {
        var random = SeededGenerator(13)
        let device = ReferenceDevice()
        for _ in 0..<12 {
            let sample = AttentionCase.random(features, &random)
            let found = try sample.run(AttentionCase.Way(splits: true), on: device, &random)
            let columns = sample.parameters.heads.outputColumns
            for (index, sequence) in sample.sequences.enumerated() {
                let row = sequence.queryLength - 1
                let output = found[index][row * columns..<(row + 1) * columns]
                let expected = sample.expected(sequence: index, row: row)
                let agrees = zip(output, expected).allSatisfy { abs(Double(Float(bitPattern: $0)) - $1) < 1e-6 }
                #expect(agrees, "\(sample.parameters) \(sample.format) \(sample.blockSize)")
            }
        }
    }

    /// What a row can't see doesn't reach it, not even a NaN that was written.
    @Test(arguments: InstructionSet.available, CacheFormat.allCases)
    func hiddenKeysDoNotMatter(_ instructionSet: InstructionSet, _ format: CacheFormat) throws {
        var random = SeededGenerator(12)
        let heads = AttentionHeads(queryHeads: 4, keyValueHeads: 2, headSize: 64)
        var parameters = AttentionParameters(heads: heads, scale: 0.125)
        parameters.visibility.scope = .window(40)
        let device = try CPUDevice(threads: 1, instructionSet: instructionSet, attentionSegmentLength: 64)
        let (length, columns) = (150, heads.keyValueHeads * heads.headSize)
        var sample = AttentionCase(
            parameters: parameters, format: format, blockSize: 16,
            sequences: [
                AttentionCase.Sequence(
                    length: length, queryLength: 60, queries: random.normals(60 * heads.outputColumns),
                    keys: random.normals(length * columns), values: random.normals(length * columns))
            ])
        let expected = try sample.run(AttentionCase.Way(splits: true), on: device, &random)[0]
        // Rows are at 90 ... 149: row 9, at 99, sees 60 ... 99.
        let row = 9 * heads.outputColumns..<10 * heads.outputColumns
        for hidden in [1e4, Float.nan] {
            for token in Array(0..<60) + Array(100..<length) {
                for element in token * columns..<(token + 1) * columns {
                    sample.sequences[0].keys[element] = hidden
                    sample.sequences[0].values[element] = hidden
                }
            }
            let found = try sample.run(AttentionCase.Way(splits: true), on: device, &random)[0]
            #expect(found[row] == expected[row])
            // And what a row does see is not hidden by it.
            let seen = found.prefix(heads.outputColumns).map { Float(bitPattern: $0) }
            #expect(seen.allSatisfy { hidden.isNaN ? $0.isNaN : $0.isFinite })
        }
    }

    @Test func outputsAreRoundedToTheirFormat() throws {
        var random = SeededGenerator(13)
        let device = try CPUDevice(threads: 1)
        for format in FloatFormat.allCases {
            var sample = AttentionCase.random([], &random)
            sample.parameters.outputFormat = .float32
            let exact = try sample.run(AttentionCase.Way(), on: device, &random)
            sample.parameters.outputFormat = format
            let rounded = try sample.run(AttentionCase.Way(), on: device, &random)
            for (a, b) in zip(exact.joined(), rounded.joined()) {
                #expect(format.round(Float(bitPattern: a)) == Float(bitPattern: b))
            }
        }
    }

    @Test func refusesWhatItCannotCompute() throws {
        let device = try CPUDevice(threads: 1)
        let heads = AttentionHeads(queryHeads: 2, keyValueHeads: 1, headSize: 64)
        let shape = CacheShape(layers: 1, keyValueHeads: 1, headSize: 64, blockSize: 16, blockCount: 1)
        func refuses(_ change: (inout AttentionParameters) -> Void) -> Bool {
            var parameters = AttentionParameters(heads: heads, scale: 0.125)
            change(&parameters)
            do {
                let bindings = ProgramBindings(
                    weights: [:], cache: try device.allocateCache(shape),
                    workspace: try device.makeWorkspace(
                        BatchCapacity(tokens: 1, sequences: 1, blocksPerSequence: 1, logitRows: 1)))
                let kernel = Kernel.attention(
                    AttentionKernel(
                        queryKeyValue: Tensor("q", rows: .tokens, columns: heads.queryKeyValueColumns),
                        output: Tensor("o", rows: .tokens, columns: heads.outputColumns), parameters: parameters,
                        cacheLayer: 0))
                _ = try device.compile(
                    Program(name: "attention", kernels: [kernel]), bindings: bindings, mode: .full,
                    extent: GraphExtent(rows: 1, sequences: 1))
                return false
            } catch { return true }
        }
        #expect(!refuses { _ in })
        #expect(refuses { $0.scale = 0 })
        #expect(refuses { $0.scale = .nan })
        #expect(refuses { $0.softcap = -1 })
        #expect(refuses { $0.keyScale = 0 })
        #expect(refuses { $0.outputScale = .infinity })
        #expect(refuses { $0.visibility.scope = .window(0) })
        #expect(refuses { $0.visibility.scope = .chunks(length: 0, lookback: 1) })
        #expect(refuses { $0.alibi = ALiBi(slopes: [1]) })
        #expect(refuses { $0.heads = AttentionHeads(queryHeads: 2, keyValueHeads: 1, headSize: 32) })
    }

    /// The magnitudes that make sums largest still fit: all elements of queries, keys and values are the largest.
    @Test(arguments: InstructionSet.available) func theLargestSumsFit(_ instructionSet: InstructionSet) throws {
        let device = try CPUDevice(threads: 1, instructionSet: instructionSet)
        var random = SeededGenerator(9)
        for headSize in [8, 64, 256, 512] {
            let heads = AttentionHeads(queryHeads: 2, keyValueHeads: 1, headSize: headSize)
            for sign in [Float(1), -1] {
                let sample = AttentionCase(
                    parameters: AttentionParameters(heads: heads, scale: 1 / Float(headSize)), format: .int16,
                    blockSize: 16,
                    sequences: [
                        AttentionCase.Sequence(
                            length: 128, queryLength: 1, queries: Array(repeating: 3, count: 2 * headSize),
                            keys: (0..<128).flatMap {
                                Array(repeating: $0 % 2 == 0 ? sign : sign / 2, count: headSize)
                            },
                            values: (0..<128).flatMap { Array(repeating: $0 % 2 == 0 ? 7 * sign : 1, count: headSize) })
                    ])
                let found = try sample.run(AttentionCase.Way(splits: true), on: device, &random)[0]
                for (found, expected) in zip(found, sample.expected(sequence: 0, row: 0)) {
                    #expect(abs(Double(Float(bitPattern: found)) - expected) < 3e-3)
                }
            }
        }
    }
}

extension AttentionCase.Features: CustomTestStringConvertible {
    var testDescription: String { contains(.wholeSections) ? "whole sections" : "any sections" }
}
