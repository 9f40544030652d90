// SPDX-License-Identifier: Apache-2.0

import CMartletKernels
import MartletCPU
import MartletCheckpoints
import MartletCompute
import MartletTestSupport
import Testing

/// A random matrix in a file's format, packed, its values by the plain dequantiser, and its 4-bit blocks' minimums.
private struct RandomWeight {
    let packed: PanelWeight
    let values: [[Float]]
    let minimums: [[Float]]

    init(
        _ type: ElementType, outputs: Int, inputs: Int, for kernels: MartletKernelTable,
        _ random: inout SeededGenerator
    ) throws {
        let bytes = random.weights(type, rows: outputs, columns: inputs, scale: 1)
        (packed, values) = try bytes.withUnsafeBytes { bytes in
            let tensor = HostTensor(elementType: type, rows: outputs, columns: inputs, bytes: bytes)
            return (
                try PanelWeight.pack(tensor, for: kernels, on: try WorkerPool(threadCount: 2)),
                (0..<outputs).map { tensor.dequantizedRow($0) }
            )
        }
        func half(at index: Int) -> Float { Float(half: UInt16(bytes[index]) | UInt16(bytes[index + 1]) << 8) }
        guard type == .q4_1 else {
            minimums = []
            return
        }
        minimums = (0..<outputs).map { row in
            (0..<inputs / 32).map { block in
                half(at: (row * inputs / 32 + block) * type.blockBytes + 2)
            }
        }
    }
}

/// Runs a linear layer the way `LinearPhase` does, over a workspace of its own.
private struct LinearRun {
    let kernels: MartletKernelTable
    let precision: ActivationPrecision
    let weight: PanelWeight
    let rows: [[Float]]

    func run(bias: [Float]? = nil, initial: Float = 0, accumulates: Bool = false) throws -> [[Float]] {
        let inputs = rows[0].count
        let input = Tensor("x", rows: .tokens, columns: inputs)
        let workspace = CPUWorkspace(
            BatchCapacity(tokens: rows.count, sequences: 1, blocksPerSequence: 1, logitRows: 1), activations: precision)
        let memory = try workspace.rows(of: input)
        let batch = BatchBuffers(capacity: workspace.capacity)
        batch.tokenCount = rows.count
        let outputs = try workspace.rows(of: Tensor("y", rows: .tokens, columns: weight.outputs))
        for (index, row) in rows.enumerated() {
            memory.row(index).update(from: row, count: inputs)
            outputs.row(index).update(repeating: initial, count: weight.outputs)
        }
        let encoded = try workspace.linearInput(of: input, in: weight.format.activations(precision))
        EncodeRows(kernels: kernels, input: memory, output: encoded).run(rows: rows.indices, batch: batch)
        let bias = try bias.map { try VectorWeight($0) }
        let segment = LinearPhase.WeightSegment(
            weight: weight, bias: bias.map { UnsafePointer($0.memory.pointer()) }, column: 0, firstPanel: 0,
            input: encoded)
        let phase = LinearPhase(
            outputName: "output", kernels: kernels, extent: .tokens, segments: [segment], output: outputs,
            accumulates: accumulates, items: LinearItems(panelCount: weight.panelCount))
        return withExtendedLifetime((workspace, weight, bias)) {
            phase.run(0..<phase.itemCount(batch), worker: 0, batch: batch)
            return rows.indices.map { Array(UnsafeBufferPointer(start: outputs.row($0), count: weight.outputs)) }
        }
    }
}

private let sizes: [(outputs: Int, inputs: Int)] = [(1, 32), (31, 64), (32, 96), (33, 160), (70, 288)]
private let rowCounts = [1, 2, 3, 4, 5, 6, 7, 11, 13, 17]

// One file: every weight format meets every form of activations, over the same random weights.
@Suite struct LinearKernelTests {
    /// What each row's inputs become once they are quantised or rounded: the rest is summing.
    private func seen(_ row: [Float], _ weight: PanelWeight, _ precision: ActivationPrecision) -> [Double] {
        let activations = weight.format.activations(precision)
        if activations == .bfloat16 { return row.map { Double(BFloat16.float(BFloat16.round($0))) } }
        let quantized = KernelTwins.quantize(row, activations)
        return quantized.values.enumerated().map { Double($1) * Double(quantized.scales[$0 / 32]) }
    }

    /// What a minimum's product with a block's sum changes by when both are bf16; ties of minimums grow.
    private func moved(_ minimum: Float, _ sum: Float, _ exact: Double) -> Double {
        let rounded = Float(bitPattern: (minimum.bitPattern + 0x8000) & 0xffff_0000)
        return Double(rounded) * Double(BFloat16.float(BFloat16.round(sum))) - Double(minimum) * exact
    }

    @Test(arguments: ElementType.allCases, InstructionSet.available)
    func agreesWithItsTwin(_ type: ElementType, _ instructionSet: InstructionSet) throws {
        let kernels = try #require(instructionSet.kernels)
        var random = SeededGenerator(1)
        // Matrices of floats need not end with a block.
        let odd =
            type.isQuantized
            ? [] : sizes.flatMap { size in [1, 3].map { (outputs: size.outputs, inputs: size.inputs - $0) } }
        for (outputs, blocks) in sizes + odd {
            let inputs = type.rowLength(atLeast: blocks)
            let weight = try RandomWeight(type, outputs: outputs, inputs: inputs, for: kernels, &random)
            for precision in ActivationPrecision.allCases {
                for count in [1, 5, 13] {
                    let rows = (0..<count).map { _ in random.normals(inputs) }
                    let found = try LinearRun(kernels: kernels, precision: precision, weight: weight.packed, rows: rows)
                        .run()
                    for (row, result) in zip(rows, found) {
                        let input = seen(row, weight.packed, precision)
                        var expected = KernelTwins.linear(input, weight.keptValues)
                        if kernels.storesSumsAsPairs, weight.packed.format == .Q4_1, precision == .int8 {
                            let sums = KernelTwins.blockSums(KernelTwins.quantize(row, .int8))
                            for (block, sum) in sums.enumerated() {
                                let exact = input[block * 32..<block * 32 + 32].reduce(0, +)
                                for (output, minimums) in weight.minimums.enumerated() {
                                    expected[output] += moved(minimums[block], sum, exact)
                                }
                            }
                        }
                        let bound = KernelTwins.linear(
                            input.map(abs), weight.values.map { $0.map { abs($0) + 8 } })
                        for output in 0..<outputs {
                            #expect(abs(Double(result[output]) - expected[output]) <= 2e-6 * bound[output])
                        }
                    }
                }
            }
        }
    }

    /// A row's bits don't depend on the rows beside it: the sum over k has one order.
    @Test(arguments: ElementType.allCases, InstructionSet.available)
    func rowsDoNotDependOnEachOther(_ type: ElementType, _ instructionSet: InstructionSet) throws {
        let kernels = try #require(instructionSet.kernels)
        var random = SeededGenerator(2)
        let inputs = type.rowLength(atLeast: 160)
        let weight = try RandomWeight(type, outputs: 70, inputs: inputs, for: kernels, &random)
        for precision in ActivationPrecision.allCases {
            let rows = (0..<17).map { _ in random.normals(inputs) }
            func run(_ rows: [[Float]]) throws -> [[Float]] {
                try LinearRun(kernels: kernels, precision: precision, weight: weight.packed, rows: rows).run()
            }
            let alone = try rows.map { try run([$0])[0] }
            for count in rowCounts { #expect(try run(Array(rows[..<count])) == Array(alone[..<count])) }
        }
    }

    /// Blocks are rounded several at once where there are several; what isn't a number stays in its own.
    @Test(arguments: InstructionSet.available, [Int64(32), 128, 160, 288])
    func blocksDoNotDependOnEachOther(_ instructionSet: InstructionSet, _ columns: Int64) throws {
        let kernels = try #require(instructionSet.kernels)
        var random = SeededGenerator(6)
        var row = random.normals(Int(columns))
        for (block, value) in [(0, Float.nan), (1, 0), (2, 1e-36), (3, .infinity), (4, 3e38)] where block * 32 < columns
        {
            for index in block * 32..<block * 32 + 32 {
                row[index] = value.isFinite ? value * (index % 2 == 0 ? 1 : -1) : index % 7 == 0 ? value : row[index]
            }
        }
        let records = martlet_records(MartletActivations.int8, columns) * martlet_record_bytes(MartletActivations.int8)
        func encode(cutAt starts: [Int64]) -> [UInt8] {
            var bytes = [UInt8](repeating: 7, count: Int(records))
            bytes.withUnsafeMutableBufferPointer { buffer in
                guard let base = buffer.baseAddress else { return }
                var output = MartletLinearInput(base: base, columns: columns, format: MartletActivations.int8)
                for (first, end) in zip(starts, starts.dropFirst() + [columns]) {
                    row.withUnsafeBufferPointer { row in
                        guard let start = row.baseAddress else { return }
                        kernels.encodeRows(start + Int(first), 0, 5, 1, first, end - first, &output)
                    }
                }
            }
            return bytes
        }
        let alone = encode(cutAt: Array(stride(from: 0, to: columns, by: 32)))
        #expect(encode(cutAt: [0]) == alone)
        if columns > 32 { #expect(encode(cutAt: [0, 32]) == alone) }
    }

    /// Rows that become activations together, whole groups and parts of such, and of some columns and then others, leave
    /// the bits that each leaves alone.
    @Test(arguments: InstructionSet.available, [("int8", 160), ("int16", 96), ("words", 70), ("bfloat16", 37)])
    func rowsAreEncodedAsIfAlone(_ instructionSet: InstructionSet, _ example: (format: String, columns: Int)) throws {
        let kernels = try #require(instructionSet.kernels)
        let formats: [String: MartletActivations] = [
            "int8": .int8, "int16": .int16, "words": .words, "bfloat16": .bfloat16,
        ]
        let format = try #require(formats[example.format])
        let (rows, columns) = (3..<29, example.columns)
        var random = SeededGenerator(8)
        var values = random.normals(rows.count * columns)
        // The first row begins 5 before a group, whose rows have whole blocks of such numbers, or all but one.
        for (row, value) in [(5, Float.nan), (6, 0), (7, 1e-36), (8, -1e-36), (9, .infinity), (10, 3e38), (13, 1e-30)] {
            for column in 0..<32 { values[row * columns + column + row % 2] *= value }
        }
        let groups = (rows.upperBound + Int(MARTLET_ROW_GROUP) - 1) / Int(MARTLET_ROW_GROUP)
        let size = groups * Int(martlet_records(format, Int64(columns)) * martlet_record_bytes(format))
        func encode(_ runs: [Range<Int>], _ parts: [Range<Int>]) -> [UInt8] {
            var bytes = [UInt8](repeating: 7, count: size)
            bytes.withUnsafeMutableBufferPointer { bytes in
                values.withUnsafeBufferPointer { values in
                    guard let base = bytes.baseAddress, let first = values.baseAddress else { return }
                    var output = MartletLinearInput(base: base, columns: Int64(columns), format: format)
                    for run in runs {
                        for part in parts {
                            kernels.encodeRows(
                                first + (run.lowerBound - rows.lowerBound) * columns + part.lowerBound, Int64(columns),
                                Int64(run.lowerBound), Int64(run.count), Int64(part.lowerBound), Int64(part.count),
                                &output)
                        }
                    }
                }
            }
            return bytes
        }
        let alone = encode(rows.map { $0..<$0 + 1 }, [0..<columns])
        #expect(encode([rows], [0..<columns]) == alone)
        #expect(encode([rows], [0..<32, 32..<columns]) == alone)
    }

    @Test(arguments: InstructionSet.available) func addsBiasAndAccumulates(_ instructionSet: InstructionSet) throws {
        let kernels = try #require(instructionSet.kernels)
        var random = SeededGenerator(3)
        for outputs in [5, 32, 45] {
            let weight = try RandomWeight(.q8_0, outputs: outputs, inputs: 64, for: kernels, &random)
            let bias = random.normals(outputs)
            let rows = (0..<3).map { _ in random.normals(64) }
            let run = LinearRun(kernels: kernels, precision: .int16, weight: weight.packed, rows: rows)
            let plain = try run.run()
            #expect(try run.run(bias: bias) == plain.map { zip($0, bias).map { $0 + $1 } })
            #expect(try run.run(initial: 2.5, accumulates: true) == plain.map { $0.map { $0 + 2.5 } })
        }
    }

    /// Gate, up, activation and rounding in one phase leave the bits that they leave one after the other.
    @Test(arguments: ElementType.allCases, InstructionSet.available)
    func gatedLayersAreTheirPartsInOrder(_ type: ElementType, _ instructionSet: InstructionSet) throws {
        let kernels = try #require(instructionSet.kernels)
        var random = SeededGenerator(5)
        let odd = type.isQuantized ? [] : [(33, 9), (70, 3)]
        let length = type.rowLength(atLeast: 96)
        for (outputs, rows) in [(32, 1), (64, 9), (160, 17)] + odd {
            let gate = try RandomWeight(type, outputs: outputs, inputs: length, for: kernels, &random).packed
            let up = try RandomWeight(type, outputs: outputs, inputs: length, for: kernels, &random).packed
            let inputs = (0..<rows).map { _ in random.normals(length) }
            for precision in ActivationPrecision.allCases {
                for format in [.Q8_0, kernels.floatPanels] where outputs % 32 == 0 || !format.isQuantized {
                    let workspace = CPUWorkspace(
                        BatchCapacity(tokens: rows, sequences: 1, blocksPerSequence: 1, logitRows: 1),
                        activations: precision)
                    let batch = BatchBuffers(capacity: workspace.capacity)
                    batch.tokenCount = rows
                    func tensor(_ name: String) -> Tensor { Tensor(name, rows: .tokens, columns: outputs) }
                    let input = Tensor("x", rows: .tokens, columns: length)
                    try workspace.write(inputs.flatMap(\.self), to: input)
                    let encoded = try workspace.linearInput(of: input, in: gate.format.activations(precision))
                    let encode = EncodeRows(kernels: kernels, input: try workspace.rows(of: input), output: encoded)
                    encode.run(rows: 0..<rows, batch: batch)

                    let joined = try workspace.linearInput(of: tensor("joined"), in: format.activations(precision))
                    let phase = GatedLinearPhase(
                        outputName: "joined", kernels: kernels, extent: .tokens, gate: gate.panels, up: up.panels,
                        gating: MartletGate(.product(.silu)), input: encoded, output: joined,
                        items: LinearItems(panelCount: gate.panelCount))
                    phase.run(0..<phase.itemCount(batch), worker: 0, batch: batch)

                    let parts = try [gate, up].map {
                        try LinearRun(kernels: kernels, precision: precision, weight: $0, rows: inputs).run()
                    }
                    let apart = try workspace.linearInput(of: tensor("apart"), in: format.activations(precision))
                    for row in 0..<rows {
                        var activated = [Float](repeating: 0, count: outputs)
                        var gating = MartletGate(.product(.silu))
                        kernels.gate(&gating, parts[0][row] + parts[1][row], &activated, Int64(outputs))
                        withUnsafePointer(to: apart) {
                            kernels.encodeRows(activated, 0, Int64(row), 1, 0, Int64(outputs), $0)
                        }
                    }
                    let bytes =
                        (rows + 7) / 8
                        * Int(martlet_records(joined.format, joined.columns) * martlet_record_bytes(joined.format))
                    #expect(
                        UnsafeRawBufferPointer(start: joined.base, count: bytes)
                            .elementsEqual(UnsafeRawBufferPointer(start: apart.base, count: bytes)))
                }
            }
        }
    }

    /// An embedding row read back from panels is the file's own row.
    @Test(arguments: ElementType.allCases, InstructionSet.available)
    func unpacksWhatWasPacked(_ type: ElementType, _ instructionSet: InstructionSet) throws {
        let kernels = try #require(instructionSet.kernels)
        var random = SeededGenerator(4)
        let inputs = type.rowLength(atLeast: 96)
        let weight = try RandomWeight(type, outputs: 45, inputs: inputs, for: kernels, &random)
        for row in 0..<45 {
            var values = [Float](repeating: 0, count: inputs)
            weight.packed.unpack(row: row, into: &values)
            let expected = weight.keptValues[row]
            #expect(values == expected)
        }
    }

    /// Weights of bf16 stay as they are down to 1/32 of their block's largest, and others move by at most 1/8192 of it,
    /// at both ends of the range too. What isn't finite becomes NaN, with its block.
    @Test func wordsKeepBFloat16() {
        var random = SeededGenerator(7)
        for exponent in [-149, -140, -120, -100, -3, 0, 5, 100, 120] {
            let scale = Float(sign: .plus, exponent: exponent, significand: 1)
            let row = random.normals(90).map { BFloat16.float(BFloat16.round($0)) * scale }
            let kept = wordsOf(row)
            #expect(kept == KernelTwins.words(row))
            for start in stride(from: 0, to: row.count, by: 32) {
                let block = start..<min(start + 32, row.count)
                let largest = row[block].map(abs).max() ?? 0
                for index in block {
                    if abs(row[index]) >= max(largest / 32, 0x1p-110) { #expect(kept[index] == row[index]) }
                    #expect(abs(kept[index] - row[index]) <= max(largest / 8192, 0x1p-127))
                }
            }
        }
        for value in [Float.nan, -.nan, .infinity, -.infinity] {
            var row = random.normals(70)
            row[40] = value
            let kept = wordsOf(row)
            #expect(kept[32..<64].allSatisfy(\.isNaN) && (kept[..<32] + kept[64...]).allSatisfy(\.isFinite))
        }
        let ends: [Float] = [.greatestFiniteMagnitude, -.greatestFiniteMagnitude, .leastNonzeroMagnitude, 0]
        #expect(wordsOf(ends) == KernelTwins.words(ends))
    }

    private func wordsOf(_ row: [Float]) -> [Float] {
        let format = MartletPanelFormat.words
        let panel = UnsafeMutablePointer<UInt8>.allocate(capacity: format.panelBytes(inputs: row.count))
        defer { panel.deallocate() }
        var kept = row
        martlet_pack_words(row, 1, Int64(row.count), panel)
        martlet_unpack_words(panel, 0, Int64(row.count), &kept)
        return kept
    }

    /// Bf16 of many exponents doesn't fit twelve bits: then all of the matrix stays bf16, and is right.
    @Test(arguments: InstructionSet.available.filter { $0.kernels?.floatPanels == .twelveBit })
    func oddMatricesStayAsTheyAre(_ instructionSet: InstructionSet) throws {
        let kernels = try #require(instructionSet.kernels)
        var random = SeededGenerator(8)
        var values = random.normals(70 * 96).map { BFloat16.float(BFloat16.round($0)) }
        func packed() throws -> PanelWeight {
            try values.withUnsafeBytes {
                try PanelWeight.pack(
                    HostTensor(elementType: .float32, rows: 70, columns: 96, bytes: $0), for: kernels,
                    on: try WorkerPool(threadCount: 2))
            }
        }
        let row = random.normals(96)
        func product(_ weight: PanelWeight) throws -> [Float] {
            try LinearRun(kernels: kernels, precision: .int8, weight: weight, rows: [row]).run()[0]
        }
        #expect(try packed().format == .twelveBit)
        let before = try product(try packed())
        // In the last panel alone, and there in one row.
        for index in 69 * 96..<70 * 96 {
            values[index] = Float(sign: .plus, exponent: 2 * index % 192 - 96, significand: 1)
        }
        let odd = try packed()
        #expect(odd.format == .bfloat16)
        #expect(try product(odd).dropLast() == before.dropLast())
        var kept = [Float](repeating: 0, count: 96)
        for index in 0..<70 {
            odd.unpack(row: index, into: &kept)
            #expect(kept == Array(values[index * 96..<(index + 1) * 96]))
        }
    }

    /// Products of the largest words, all of one sign, still fit their sums.
    @Test(arguments: InstructionSet.available) func theLargestWordsFit(_ instructionSet: InstructionSet) throws {
        let kernels = try #require(instructionSet.kernels)
        let values = [Float](repeating: -Float(1).nextDown, count: 33 * 64)
        let weight = try values.withUnsafeBytes {
            try PanelWeight.pack(
                HostTensor(elementType: .float32, rows: 33, columns: 64, bytes: $0), for: kernels,
                on: try WorkerPool(threadCount: 1))
        }
        for value: Float in [1, -1] {
            let rows = [[Float]](repeating: [Float](repeating: value, count: 64), count: 9)
            let run = LinearRun(kernels: kernels, precision: .int8, weight: weight, rows: rows)
            for row in try run.run() { #expect(row.allSatisfy { abs($0 + 64 * value) < 1e-3 }) }
        }
    }

    /// A minimum that isn't a number makes its outputs none, whatever its bits.
    @Test(arguments: InstructionSet.available, [UInt16(0x7fff), 0xfc01, 0x7e00, 0xffff])
    func minimumsThatAreNoNumbersStayNone(_ instructionSet: InstructionSet, _ minimum: UInt16) throws {
        let block =
            GGUFWriter.bytes(Float16(1).bitPattern) + GGUFWriter.bytes(minimum) + [UInt8](repeating: 1, count: 16)
        let kernels = try #require(instructionSet.kernels)
        let weight = try block.withUnsafeBytes {
            try PanelWeight.pack(
                HostTensor(elementType: .q4_1, rows: 1, columns: 32, bytes: $0), for: kernels,
                on: try WorkerPool(threadCount: 1))
        }
        for precision in ActivationPrecision.allCases {
            let rows = [[Float](repeating: 1, count: 32)]
            let run = LinearRun(kernels: kernels, precision: precision, weight: weight, rows: rows)
            #expect(try run.run()[0][0].isNaN)
        }
    }

    /// A Q4_0 scale so large that -8 times it leaves f16 is as exact as any.
    @Test(arguments: InstructionSet.available) func hugeScalesAreExact(_ instructionSet: InstructionSet) throws {
        let kernels = try #require(instructionSet.kernels)
        // Both nibbles 0, which is -8, or 9, which is 1.
        let bytes =
            GGUFWriter.bytes(Float16(60_000).bitPattern) + [0, 0x99].flatMap { [UInt8](repeating: $0, count: 8) }
        let weight = try bytes.withUnsafeBytes {
            try PanelWeight.pack(
                HostTensor(elementType: .q4_0, rows: 1, columns: 32, bytes: $0), for: kernels,
                on: try WorkerPool(threadCount: 1))
        }
        var values = [Float](repeating: 0, count: 32)
        weight.unpack(row: 0, into: &values)
        let expected = (0..<32).map { Float($0 % 16 < 8 ? -480_000 : 60_000) }
        #expect(values == expected)
        for index in [0, 15, 31] {
            let row = (0..<32).map { Float($0 == index ? 1 : 0) }
            let run = LinearRun(kernels: kernels, precision: .int8, weight: weight, rows: [row])
            #expect(abs(try run.run()[0][0] / expected[index] - 1) < 1e-6)
        }
    }
}

extension RandomWeight {
    /// What the panel holds.
    fileprivate var keptValues: [[Float]] {
        switch packed.format {
        case .words: values.map(KernelTwins.words)
        case .bfloat16, .twelveBit: values.map { $0.map { BFloat16.float(BFloat16.round($0)) } }
        default: values
        }
    }
}
