// SPDX-License-Identifier: Apache-2.0

import MartletCompute
import MartletTestSupport
import Testing

/// Every kernel case on rows at odd sizes: what a device computes is what the reference computes, within what it rounds.
@Suite struct KernelConformanceTests {
    private func tensor(_ name: String, _ columns: Int) -> Tensor { Tensor(name, rows: .tokens, columns: columns) }

    /// By token and by position, scaled, written and added.
    @Test(arguments: DeviceUnderTest.all, ElementType.allCases)
    func embed(_ device: DeviceUnderTest, _ type: ElementType) throws {
        for (index, scale, accumulates) in [
            (EmbedKernel.Index.tokenID, Float(1), false), (.tokenID, 3.5, false), (.position, 0.5, true),
        ] {
            var random = SeededGenerator(1)
            let columns = type.rowLength(atLeast: 96)
            let table = KernelRun.Matrix.random("table", rows: 37, columns: columns, type, &random)
            let output = tensor("hidden", columns)
            var kernel = EmbedKernel(table: table.weight, output: output)
            (kernel.index, kernel.scale, kernel.accumulates) = (index, scale, accumulates)
            let run = KernelRun(
                tokens: 7, kernels: [.embed(kernel)], matrices: [table], inputs: [(output, random.normals(7 * columns))]
            ) {
                for row in 0..<7 { ($0.tokenIDs[row], $0.positions[row]) = (Int32(row * 6), Int32(36 - row * 5)) }
            }
            try run.expectAgreement(of: output, on: device, tolerance: 0x1p-7)
        }
    }

    @Test(arguments: DeviceUnderTest.all, [1, 1.25]) func rotaryAngles(_ device: DeviceUnderTest, _ magnitude: Double)
        throws
    {
        let frequencies = (0..<9).map { 1 / Double(1 << $0) }
        let output = tensor("angles", 18)
        let run = KernelRun(
            tokens: 6,
            kernels: [.rotaryAngles(inverseFrequencies: frequencies, magnitude: magnitude, output: output)]
        ) {
            for row in 0..<6 { $0.positions[row] = Int32(row * row * 991) }
        }
        try run.expectAgreement(of: output, on: device, tolerance: 1e-6)
    }

    /// Of both kinds, with and without weight and bias, written and added.
    @Test(arguments: DeviceUnderTest.all, [1, 3, 70]) func norm(_ device: DeviceUnderTest, _ tokens: Int) throws {
        let (input, output) = (tensor("hidden", 99), tensor("normed", 99))
        let (weight, bias) = (Weight("norm.weight", columns: 99), Weight("norm.bias", columns: 99))
        for kind in [NormKind.rootMeanSquare, .layer] {
            for (hasWeight, hasBias, accumulates) in [
                (true, false, false), (true, true, false), (false, false, true), (true, true, true),
            ] {
                var random = SeededGenerator(2)
                var kernel = NormKernel(input: input, weight: hasWeight ? weight : nil, epsilon: 1e-2, output: output)
                (kernel.kind, kernel.bias, kernel.accumulates) = (kind, hasBias ? bias : nil, accumulates)
                let run = KernelRun(
                    tokens: tokens, kernels: [.norm(kernel)],
                    vectors: [(weight, random.normals(99)), (bias, random.normals(99))],
                    inputs: [
                        (input, random.normals(tokens * 99, scale: 0.2)), (output, random.normals(tokens * 99)),
                    ])
                try run.expectAgreement(of: output, on: device, tolerance: 4e-6)
            }
        }
    }

    /// With biases, several weights side by side and a residual connection.
    @Test(arguments: DeviceUnderTest.all, ElementType.allCases)
    func linear(_ device: DeviceUnderTest, _ type: ElementType) throws {
        for (tokens, accumulates, hasBias) in [
            (1, true, false), (2, false, true), (37, true, true), (130, false, false),
        ] {
            var random = SeededGenerator(UInt64(tokens))
            let columns = type.rowLength(atLeast: 160)
            let matrices = [
                KernelRun.Matrix.random("first", rows: 96, columns: columns, type, &random),
                KernelRun.Matrix.random("second", rows: 33, columns: columns, type, &random),
            ]
            let biases = hasBias ? [Weight("firstBias", columns: 96), Weight("secondBias", columns: 33)] : []
            let (input, output) = (tensor("input", columns), tensor("output", 129))
            let linear = LinearKernel(
                input: input, weights: matrices.map(\.weight), biases: biases, output: output, accumulates: accumulates)
            let run = KernelRun(
                tokens: tokens, kernels: [.linear(linear)], matrices: matrices,
                vectors: biases.map { ($0, random.normals($0.columns)) },
                inputs: [(input, random.normals(tokens * columns)), (output, random.normals(tokens * 129))])
            try run.expectAgreement(of: output, on: device, tolerance: type.isQuantized ? 1e-3 : 1e-2)
        }
    }

    static let gates = Activation.allCases.map(Gate.product) + [.clampedSwiGLU(alpha: 1.702, limit: 2)]

    @Test(arguments: DeviceUnderTest.all, Activation.allCases)
    func activation(_ device: DeviceUnderTest, _ activation: Activation) throws {
        for tokens in [1, 5] {
            var random = SeededGenerator(3)
            let (input, output) = (tensor("up", 163), tensor("activated", 163))
            let run = KernelRun(
                tokens: tokens, kernels: [.activation(input: input, output: output, activation: activation)],
                inputs: [(input, random.normals(tokens * 163, scale: 3))])
            try run.expectAgreement(of: output, on: device, tolerance: 2e-6)
        }
    }

    @Test(arguments: DeviceUnderTest.all, gates)
    func gatedActivation(_ device: DeviceUnderTest, _ gate: Gate) throws {
        for tokens in [1, 5, 80] {
            var random = SeededGenerator(4)
            let (input, output) = (tensor("gateUp", 326), tensor("gated", 163))
            let run = KernelRun(
                tokens: tokens, kernels: [.gatedActivation(input: input, output: output, gate: gate)],
                inputs: [(input, random.normals(tokens * 326, scale: 3))])
            try run.expectAgreement(of: output, on: device, tolerance: 2e-6)
        }
    }

    /// Projections, gate and the layer behind them, as feed-forward has them: devices may compute them together.
    @Test(arguments: DeviceUnderTest.all, gates) func feedForward(_ device: DeviceUnderTest, _ gate: Gate) throws {
        for (type, tokens) in [(ElementType.q8_0, 1), (.q4_1, 9), (.bfloat16, 130)] {
            var random = SeededGenerator(UInt64(tokens))
            let matrices = [
                KernelRun.Matrix.random("gate", rows: 96, columns: 160, type, &random),
                KernelRun.Matrix.random("up", rows: 96, columns: 160, type, &random),
                KernelRun.Matrix.random("down", rows: 64, columns: 96, type, &random),
            ]
            let (input, gateUp, gated, output) = (
                tensor("normed", 160), tensor("gateUp", 192), tensor("gated", 96), tensor("hidden", 64)
            )
            let run = KernelRun(
                tokens: tokens,
                kernels: [
                    .linear(LinearKernel(input: input, weights: matrices.prefix(2).map(\.weight), output: gateUp)),
                    .gatedActivation(input: gateUp, output: gated, gate: gate),
                    .linear(
                        LinearKernel(input: gated, weights: [matrices[2].weight], output: output, accumulates: true)),
                ], matrices: matrices,
                inputs: [(input, random.normals(tokens * 160)), (output, random.normals(tokens * 64))])
            try run.expectAgreement(of: output, on: device, tolerance: 2e-2)
        }
    }

    /// Scaled, and by a gate of each row.
    @Test(arguments: DeviceUnderTest.all, [false, true]) func add(_ device: DeviceUnderTest, _ hasGate: Bool) throws {
        var random = SeededGenerator(5)
        let (input, output, gate) = (tensor("branch", 33), tensor("hidden", 33), tensor("gate", 1))
        var kernel = AddKernel(input: input, output: output)
        (kernel.scale, kernel.gate) = (0.22, hasGate ? gate : nil)
        let run = KernelRun(
            tokens: 6, kernels: [.add(kernel)],
            inputs: [
                (input, random.normals(6 * 33)), (output, random.normals(6 * 33)), (gate, random.normals(6, scale: 3)),
            ])
        try run.expectAgreement(of: output, on: device, tolerance: 1e-6)
    }

    @Test(arguments: DeviceUnderTest.all, [nil, 30 as Float]) func scale(_ device: DeviceUnderTest, _ softcap: Float?)
        throws
    {
        var random = SeededGenerator(6)
        let logits = tensor("logits", 77)
        let run = KernelRun(
            tokens: 5, kernels: [.scale(logits, factor: 0.7, softcap: softcap)],
            inputs: [(logits, random.normals(5 * 77, scale: 40))])
        try run.expectAgreement(of: logits, on: device, tolerance: 1e-6)
    }

    @Test(arguments: DeviceUnderTest.all) func gatherRows(_ device: DeviceUnderTest) throws {
        var random = SeededGenerator(7)
        let (input, output) = (tensor("hidden", 96), Tensor("last.hidden", rows: .logitRows, columns: 96))
        let run = KernelRun(
            tokens: 9, logitRows: [8, 0, 3, 3], kernels: [.gatherRows(input: input, output: output)],
            inputs: [(input, random.normals(9 * 96))])
        try run.expectAgreement(of: output, on: device, tolerance: 0)
    }
}
