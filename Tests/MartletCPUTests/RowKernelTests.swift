// SPDX-License-Identifier: Apache-2.0

import CMartletKernels
import Foundation
import MartletCPU
import MartletCompute
import MartletTestSupport
import Testing

private let counts = [1, 2, 15, 16, 17, 31, 32, 33, 100, 576, 1025]

private func expectClose(_ found: [Float], _ expected: [Double], tolerance: Double, _ comment: Comment? = nil) {
    for (a, b) in zip(found, expected) { #expect(abs(Double(a) - b) <= tolerance * max(1, abs(b)), comment) }
}

/// One row of a linear layer's input, taken apart by what the header says of its records.
private struct EncodedRow {
    /// 8 or 16 bits a value, or a bf16's bits.
    var values: [Int32] = []
    var scales: [Float] = []
    var scaledSums: [Float] = []
    var offsets: [Int32] = []

    init(_ input: MartletLinearInput, row: Int, storesSumsAsPairs: Bool = false) {
        let (records, bytes) = (
            Int(martlet_records(input.format, input.columns)), Int(martlet_record_bytes(input.format))
        )
        let rowInGroup = row % 8
        for index in 0..<records {
            let record = UnsafeRawPointer(input.base + (row / 8 * records + index) * bytes)
            if input.format == .bfloat16 {
                values += (0..<2).map { Int32(record.load(fromByteOffset: rowInGroup * 4 + $0 * 2, as: UInt16.self)) }
                continue
            }
            if input.format == .words {
                values += (0..<32).map { Int32(record.load(fromByteOffset: rowInGroup * 64 + $0 * 2, as: Int16.self)) }
                scales.append(record.load(fromByteOffset: 512 + rowInGroup * 4, as: Float.self))
                continue
            }
            let isWide = input.format == .int16
            for k in 0..<32 {
                let high = Int32(record.load(fromByteOffset: rowInGroup * 32 + k, as: Int8.self))
                let low = isWide ? Int32(record.load(fromByteOffset: 256 + rowInGroup * 32 + k, as: Int8.self)) : 0
                values.append(isWide ? high * 256 + low : high)
            }
            let words = record + (isWide ? 512 : 256) + rowInGroup * 4
            scales.append(words.load(as: Float.self))
            if storesSumsAsPairs && !isWide {
                // In the record of the first of two blocks.
                let pair = words - index % 2 * bytes + 32
                scaledSums.append(BFloat16.float(pair.load(fromByteOffset: index % 2 * 2, as: UInt16.self)))
            } else {
                scaledSums.append(words.load(fromByteOffset: 32, as: Float.self))
            }
            offsets.append(words.load(fromByteOffset: 64, as: Int32.self))
        }
    }
}

@Suite struct RowKernelTests {
    /// Integers and scales, exactly; also the sums that the linear kernels rely on.
    @Test(arguments: InstructionSet.available, ActivationPrecision.allCases)
    func quantizes(_ instructionSet: InstructionSet, _ precision: ActivationPrecision) throws {
        let kernels = try #require(instructionSet.kernels)
        var random = SeededGenerator(1)
        for trial in 0..<200 {
            let columns = 32 * Int.random(in: 1...9, using: &random)
            var row = random.normals(columns, scale: trial % 3 == 0 ? 1e-3 : 10)
            if trial % 5 == 0 { for index in 0..<32 { row[index] = 0 } }
            if trial % 7 == 0 { row[columns - 1] = 3e5 }
            let expected = KernelTwins.quantize(row, precision == .int16 ? .int16 : .int8)

            let workspace = CPUWorkspace(
                BatchCapacity(tokens: 3, sequences: 1, blocksPerSequence: 1, logitRows: 1), activations: precision)
            var output = try workspace.linearInput(
                of: Tensor("x", rows: .tokens, columns: columns), in: precision == .int16 ? .int16 : .int8)
            kernels.encodeRows(row, 0, 1, 1, 0, Int64(columns), &output)
            let encoded = EncodedRow(output, row: 1, storesSumsAsPairs: kernels.storesSumsAsPairs)
            #expect(encoded.values == expected.values)
            #expect(encoded.scales == expected.scales)
            let pairs = kernels.storesSumsAsPairs && precision == .int8
            #expect(
                encoded.scaledSums
                    == KernelTwins.blockSums(expected).map { pairs ? BFloat16.float(BFloat16.round($0)) : $0 })
            for block in 0..<columns / 32 {
                let sum = expected.values[block * 32..<block * 32 + 32].reduce(0, +)
                #expect(encoded.offsets[block] == -128 * sum)
            }
        }
    }

    /// The same of words, whose last block may be a part of one.
    @Test(arguments: InstructionSet.available) func quantizesToWords(_ instructionSet: InstructionSet) throws {
        let kernels = try #require(instructionSet.kernels)
        var random = SeededGenerator(6)
        for columns in counts {
            var row = random.normals(columns, scale: 10)
            row[columns / 2] = 3e5
            let expected = KernelTwins.quantize(row, .words)
            let workspace = CPUWorkspace(
                BatchCapacity(tokens: 11, sequences: 1, blocksPerSequence: 1, logitRows: 1), activations: .int8)
            var output = try workspace.linearInput(of: Tensor("x", rows: .tokens, columns: columns), in: .words)
            kernels.encodeRows(row, 0, 10, 1, 0, Int64(columns), &output)
            let encoded = EncodedRow(output, row: 10)
            let padding = [Int32](repeating: 0, count: (32 - columns % 32) % 32)
            #expect(encoded.values == expected.values + padding)
            #expect(encoded.scales == expected.scales)
        }
    }

    /// What isn't a number stays none: damaged weights must not yield plausible answers.
    @Test(arguments: InstructionSet.available, [MartletActivations.int8, .int16, .words])
    func quantizingKeepsNonFiniteValues(_ instructionSet: InstructionSet, _ format: MartletActivations) throws {
        let kernels = try #require(instructionSet.kernels)
        for value in [Float.nan, -.nan, .infinity, -.infinity] {
            for index in [0, 15, 16, 31] {
                var row = [Float](repeating: 1, count: 32)
                row[index] = value
                let workspace = CPUWorkspace(
                    BatchCapacity(tokens: 1, sequences: 1, blocksPerSequence: 1, logitRows: 1),
                    activations: format == .int16 ? .int16 : .int8)
                var output = try workspace.linearInput(
                    of: Tensor("x", rows: .tokens, columns: 32), in: format)
                kernels.encodeRows(row, 0, 0, 1, 0, 32, &output)
                #expect(!EncodedRow(output, row: 0).scales[0].isFinite)
            }
        }
    }

    @Test(arguments: InstructionSet.available) func roundsToBFloat16(_ instructionSet: InstructionSet) throws {
        let kernels = try #require(instructionSet.kernels)
        var random = SeededGenerator(2)
        for count in counts {
            var row = random.normals(count)
            // Ties, infinities, NaN, subnormals.
            for (index, bits) in [0x3f80_8000, 0x3f81_8000, 0x7f80_0000, 0x7fc0_0000, 0x7f80_0001, 0x0000_0001]
                .enumerated()
            where index < count { row[index] = Float(bitPattern: UInt32(bits)) }
            let workspace = CPUWorkspace(
                BatchCapacity(tokens: 11, sequences: 1, blocksPerSequence: 1, logitRows: 1), activations: .int8)
            var output = try workspace.linearInput(
                of: Tensor("x", rows: .tokens, columns: count), in: .bfloat16)
            kernels.encodeRows(row, 0, 10, 1, 0, Int64(count), &output)
            // An odd last one stands beside a zero.
            #expect(
                EncodedRow(output, row: 10).values
                    == (row.map(BFloat16.round) + (count % 2 == 1 ? [0] : [])).map(Int32.init))
        }
    }

    @Test(arguments: InstructionSet.available) func norms(_ instructionSet: InstructionSet) throws {
        let kernels = try #require(instructionSet.kernels)
        var random = SeededGenerator(3)
        for count in counts {
            let (row, weight) = (random.normals(count), random.normals(count))
            var output = [Float](repeating: 0, count: count)
            weight.withUnsafeBufferPointer {
                var norm = MartletNorm(
                    weight: $0.baseAddress, bias: nil, epsilon: 1e-5, centers: false, accumulates: false)
                kernels.norm(&norm, row, &output, Int64(count))
            }
            expectClose(output, KernelTwins.rootMeanSquareNorm(row, weight, epsilon: 1e-5), tolerance: 2e-6)
        }
    }

    @Test(arguments: InstructionSet.available) func gates(_ instructionSet: InstructionSet) throws {
        let kernels = try #require(instructionSet.kernels)
        var random = SeededGenerator(4)
        for count in counts {
            var gate = random.normals(count, scale: 10)
            if count > 4 { gate.replaceSubrange(0..<4, with: [0, -200, 200, -88.5]) }
            let up = random.normals(count)
            var output = [Float](repeating: 0, count: count)
            var gating = MartletGate(.product(.silu))
            kernels.gate(&gating, gate + up, &output, Int64(count))
            expectClose(output, KernelTwins.siluAndMultiply(gate: gate, up: up), tolerance: 2e-6)
        }
        let ends: [(gate: Float, output: Float)] = [
            (-1e38, 0), (-3e38, 0), (1e38, 1e38), (.infinity, .infinity), (-.infinity, .nan), (.nan, .nan),
        ]
        for (gate, expected) in ends {
            var output: Float = 1
            var gating = MartletGate(.product(.silu))
            kernels.gate(&gating, [gate, 1], &output, 1)
            #expect(output == expected || output.isNaN && expected.isNaN, "of \(gate)")
        }
    }

    /// Angles are those of f64 to a place of f32, and a position's bits depend on no other row.
    @Test func rotaryAnglesDependOnTheirPositionAlone() throws {
        let positions = Array(60..<70) + [0, 1, 8191, 8192, 131_071, 63, 64, 65, 5]
        let frequencies = (0..<9).map { pow(10_000, -Double($0) / 9) }
        let workspace = CPUWorkspace(
            BatchCapacity(tokens: positions.count, sequences: 1, blocksPerSequence: 1, logitRows: 1), activations: .int8
        )
        let batch = BatchBuffers(capacity: workspace.capacity)
        let output = try workspace.rows(of: Tensor("angles", rows: .tokens, columns: 18))
        let operation = RotaryAngleRows(
            inverseFrequencies: frequencies, magnitude: 1, near: workspace.nearAngles(frequencies), output: output)
        func angles(_ positions: [Int]) -> [[Float]] {
            for (row, position) in positions.enumerated() { batch.positions[row] = Int32(position) }
            operation.run(rows: 0..<positions.count, batch: batch)
            return positions.indices.map { row in (0..<18).map { output.row(row)[$0] } }
        }
        let together = angles(positions)
        for (row, position) in positions.enumerated() {
            #expect(angles([position]) == [together[row]])
            for (pair, frequency) in frequencies.enumerated() {
                let angle = Double(position) * frequency
                #expect(abs(Double(together[row][pair]) - cos(angle)) < 6e-8)
                #expect(abs(Double(together[row][9 + pair]) - sin(angle)) < 6e-8)
            }
        }
    }

    @Test(arguments: InstructionSet.available) func rotates(_ instructionSet: InstructionSet) throws {
        let kernels = try #require(instructionSet.kernels)
        var random = SeededGenerator(5)
        for (headSize, pairs) in [(16, 8), (32, 5), (64, 32), (80, 40), (6, 3)] {
            var heads = random.normals(3 * headSize)
            let original = heads
            let angles = (0..<pairs).map { _ in Double.random(in: -7...7, using: &random) }
            kernels.rotateHeads(
                &heads, 3, Int64(headSize), angles.map { Float(cos($0)) } + angles.map { Float(sin($0)) }, Int64(pairs))
            for head in 0..<3 {
                let range = head * headSize..<(head + 1) * headSize
                expectClose(
                    Array(heads[range]), KernelTwins.rotate(Array(original[range]), angles: angles),
                    tolerance: 1e-5)
            }
        }
    }

    @Test(arguments: InstructionSet.available) func findsMaximaAndSums(_ instructionSet: InstructionSet) throws {
        let kernels = try #require(instructionSet.kernels)
        var random = SeededGenerator(6)
        for count in counts + [5000] {
            for trial in 0..<8 {
                var values = random.normals(count, scale: 5)
                if trial >= 2 {
                    // Not numbers, infinities, and a tie for the maximum.
                    for _ in 0..<trial {
                        values[Int.random(in: 0..<count, using: &random)] = [.nan, .infinity, -.infinity].randomElement(
                            using: &random)!
                    }
                    values[count / 2] = 30
                    values[count - 1] = 30
                }
                if trial == 7 { values = values.map { _ in .nan } }
                var maximum: Float = 0
                let index = kernels.argumentOfMaximum(values, Int64(count), &maximum)
                let expected = KernelTwins.argumentOfMaximum(values)
                #expect(Int(index) == expected?.index ?? -1)
                guard let expected else { continue }
                #expect(maximum == expected.value)
                for factor in [1, 0.5, 1e4] as [Float] {
                    var weights = [Float](repeating: -1, count: count)
                    let sum = kernels.sumOfExponentials(values, Int64(count), maximum, factor, &weights)
                    let reference = KernelTwins.sumOfExponentials(values, maximum: maximum, factor: factor)
                    #expect(abs(sum - reference) <= 1e-6 * reference)
                    #expect(kernels.sumOfExponentials(values, Int64(count), maximum, factor, nil) == sum)
                    #expect(zip(values, weights).allSatisfy { $0.isFinite ? $1 >= 0 && $1 <= 1 : $1 == 0 })
                }
            }
        }
    }
}
