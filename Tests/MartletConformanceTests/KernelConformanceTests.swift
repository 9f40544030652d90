// SPDX-License-Identifier: Apache-2.0

import MartletCompute
import MartletReference
import MartletTestSupport
import Testing

/// Every kernel case at odd sizes: what a device computes is what the reference computes, within what it rounds.
@Suite struct KernelConformanceTests {
    private let reference: ReferenceDevice

    init() throws { reference = try ReferenceDevice() }

    /// - Parameter tolerance: of each number, relative to the largest of the row.
    private func expectAgreement(
        _ run: KernelRun, _ tensor: Tensor, _ device: DeviceUnderTest, tolerance: Float,
        _ location: SourceLocation = #_sourceLocation
    ) throws {
        let expected = try run.output(tensor, on: reference).numbers
        for mode in GraphRuntimeMode.allCases {
            let found = try run.output(tensor, on: device.make(), mode: mode).numbers
            Conformance.expect(found.count == expected.count && !found.isEmpty, sourceLocation: location)
            for start in stride(from: 0, to: expected.count, by: tensor.columns) {
                let row = start..<start + tensor.columns
                let scale = expected[row].map(\.magnitude).max() ?? 0
                let worst = zip(found[row], expected[row]).map { abs($0 - $1) }.max() ?? 0
                Conformance.expect(
                    worst <= tolerance * scale, "\(mode), row \(start / tensor.columns): \(worst) of \(scale)",
                    sourceLocation: location)
            }
        }
    }

    @Test(arguments: DeviceUnderTest.all, ElementType.allCases)
    func embed(_ device: DeviceUnderTest, _ type: ElementType) throws {
        var random = SeededGenerator(1)
        let table = KernelRun.Matrix.random("table", rows: 37, columns: 96, type, &random)
        let output = Tensor("hidden", rows: .tokens, columns: 96)
        let run = KernelRun(tokens: 7, kernels: [.embed(table: table.weight, output: output)], matrices: [table]) {
            for row in 0..<7 { $0.tokenIDs[row] = Int32(row * 6) }
        }
        try expectAgreement(run, output, device, tolerance: 0x1p-7)
    }

    @Test(arguments: DeviceUnderTest.all) func rotaryAngles(_ device: DeviceUnderTest) throws {
        let frequencies = (0..<9).map { 1 / Double(1 << $0) }
        let output = Tensor("angles", rows: .tokens, columns: 18)
        let run = KernelRun(tokens: 6, kernels: [.rotaryAngles(inverseFrequencies: frequencies, output: output)]) {
            for row in 0..<6 { $0.positions[row] = Int32(row * row * 991) }
        }
        try expectAgreement(run, output, device, tolerance: 1e-6)
    }

    @Test(arguments: DeviceUnderTest.all, [1, 3, 70]) func norm(_ device: DeviceUnderTest, _ tokens: Int) throws {
        var random = SeededGenerator(2)
        let (input, output) = (
            Tensor("hidden", rows: .tokens, columns: 96), Tensor("normed", rows: .tokens, columns: 96)
        )
        let weight = Weight("norm", columns: 96)
        let run = KernelRun(
            tokens: tokens, kernels: [.norm(input: input, weight: weight, epsilon: 1e-2, output: output)],
            vectors: [(weight, random.normals(96))], inputs: [(input, random.normals(tokens * 96, scale: 0.2))])
        try expectAgreement(run, output, device, tolerance: 2e-6)
    }

    /// With biases, several weights side by side and a residual connection.
    @Test(arguments: DeviceUnderTest.all, ElementType.allCases)
    func linear(_ device: DeviceUnderTest, _ type: ElementType) throws {
        for (tokens, accumulates, hasBias) in [
            (1, true, false), (2, false, true), (37, true, true), (130, false, false),
        ] {
            var random = SeededGenerator(UInt64(tokens))
            let matrices = [
                KernelRun.Matrix.random("first", rows: 96, columns: 160, type, &random),
                KernelRun.Matrix.random("second", rows: 33, columns: 160, type, &random),
            ]
            let biases = hasBias ? [Weight("firstBias", columns: 96), Weight("secondBias", columns: 33)] : []
            let (input, output) = (
                Tensor("input", rows: .tokens, columns: 160), Tensor("output", rows: .tokens, columns: 129)
            )
            let linear = LinearKernel(
                input: input, weights: matrices.map(\.weight), biases: biases, output: output, accumulates: accumulates)
            let run = KernelRun(
                tokens: tokens, kernels: [.linear(linear)], matrices: matrices,
                vectors: biases.map { ($0, random.normals($0.columns)) },
                inputs: [(input, random.normals(tokens * 160)), (output, random.normals(tokens * 129))])
            try expectAgreement(run, output, device, tolerance: type.isQuantized ? 1e-3 : 1e-2)
        }
    }

    @Test(arguments: DeviceUnderTest.all, [1, 5, 80]) func gatedActivation(_ device: DeviceUnderTest, _ tokens: Int)
        throws
    {
        var random = SeededGenerator(4)
        let (input, output) = (
            Tensor("gateUp", rows: .tokens, columns: 320), Tensor("gated", rows: .tokens, columns: 160)
        )
        let run = KernelRun(
            tokens: tokens, kernels: [.gatedActivation(input: input, output: output, activation: .silu)],
            inputs: [(input, random.normals(tokens * 320, scale: 3))])
        try expectAgreement(run, output, device, tolerance: 2e-6)
    }

    @Test(arguments: DeviceUnderTest.all) func gatherRows(_ device: DeviceUnderTest) throws {
        var random = SeededGenerator(5)
        let (input, output) = (
            Tensor("hidden", rows: .tokens, columns: 96), Tensor("last.hidden", rows: .logitRows, columns: 96)
        )
        let run = KernelRun(
            tokens: 9, logitRows: [8, 0, 3, 3], kernels: [.gatherRows(input: input, output: output)],
            inputs: [(input, random.normals(9 * 96))])
        try expectAgreement(run, output, device, tolerance: 0)
    }
}
