// SPDX-License-Identifier: Apache-2.0

import MartletCompute
import MartletTestSupport
import Testing

/// The choice of experts, and what they compute.
@Suite struct ExpertConformanceTests {
    private static let (experts, chosen, columns, size) = (7, 3, 96, 64)
    private let input = Tensor("normed", rows: .tokens, columns: columns)
    private let routing = Tensor("routing", rows: .tokens, columns: 2 * chosen)

    /// Every scoring, with biases and without, as shares of one and as they are.
    @Test(arguments: DeviceUnderTest.all, RouteKernel.Scoring.allCases)
    func route(_ device: DeviceUnderTest, _ scoring: RouteKernel.Scoring) throws {
        let weight = Weight("router", rows: Self.experts, columns: Self.columns)
        let (bias, choiceBias) = (Weight("bias", columns: Self.experts), Weight("choice", columns: Self.experts))
        for (hasBias, hasChoiceBias, normalizes, scale) in [
            (false, false, true, Float(1)), (true, false, false, 1), (true, true, true, 2.5),
        ] {
            var random = SeededGenerator(8)
            var kernel = RouteKernel(input: input, weight: weight, output: routing)
            (kernel.bias, kernel.choiceBias) = (hasBias ? bias : nil, hasChoiceBias ? choiceBias : nil)
            (kernel.scoring, kernel.normalizes, kernel.scale) = (scoring, normalizes, scale)
            let run = KernelRun(
                tokens: 21, kernels: [.route(kernel)],
                vectors: [
                    (weight, random.normals(Self.experts * Self.columns)), (bias, random.normals(Self.experts)),
                    (choiceBias, random.normals(Self.experts, scale: 0.3)),
                ], inputs: [(input, random.normals(21 * Self.columns, scale: 0.1))])
            try run.expectAgreement(of: routing, on: device, tolerance: 2e-5)
        }
    }

    /// Each row's experts are given, so that no choice is too near: all the same, each once, and as they come.
    private func assignments(tokens: Int, _ random: inout SeededGenerator) -> [Float] {
        (0..<tokens).flatMap { token -> [Float] in
            var experts = Array(0..<Self.experts)
            if token % 3 > 0 { experts.shuffle(using: &random) }
            return experts.prefix(Self.chosen).map(Float.init) + random.normals(Self.chosen)
        }
    }

    @Test(arguments: DeviceUnderTest.all, [ElementType.q8_0, .q4_1, .bfloat16])
    func experts(_ device: DeviceUnderTest, _ type: ElementType) throws {
        for (tokens, hasBias, accumulates) in [
            (1, false, true), (2, true, false), (19, false, false), (140, true, true),
        ] {
            var random = SeededGenerator(UInt64(tokens))
            let (size, columns) = (Self.size, Self.columns)
            func matrix(_ name: String, _ rows: Int, _ columns: Int) -> KernelRun.Matrix {
                .random(name, count: Self.experts, rows: rows, columns: columns, type, &random)
            }
            let matrices = [matrix("gate", size, columns), matrix("up", size, columns), matrix("down", 80, size)]
            let output = Tensor("hidden", rows: .tokens, columns: 80)
            var kernel = ExpertsKernel(
                input: input, routing: routing, gateWeight: matrices[0].weight, upWeight: matrices[1].weight,
                downWeight: matrices[2].weight,
                gate: hasBias ? .clampedSwiGLU(alpha: 1.702, limit: 7) : .product(.silu),
                output: output)
            kernel.accumulates = accumulates
            let biases = [("gateBias", size), ("upBias", size), ("downBias", 80)].map {
                Weight($0, rows: Self.experts, columns: $1)
            }
            if hasBias { (kernel.gateBias, kernel.upBias, kernel.downBias) = (biases[0], biases[1], biases[2]) }
            let run = KernelRun(
                tokens: tokens, kernels: [.experts(kernel)], matrices: matrices,
                vectors: biases.map { ($0, random.normals($0.rows * $0.columns)) },
                inputs: [
                    (input, random.normals(tokens * columns)), (routing, assignments(tokens: tokens, &random)),
                    (output, random.normals(tokens * 80)),
                ])
            try run.expectAgreement(of: output, on: device, tolerance: 3e-2)
        }
    }

    /// A row's bits are the same alone and among others.
    @Test(arguments: DeviceUnderTest.all) func rowsDontDependOnEachOther(_ device: DeviceUnderTest) throws {
        var random = SeededGenerator(9)
        func matrix(_ name: String, _ rows: Int, _ columns: Int) -> KernelRun.Matrix {
            .random(name, count: Self.experts, rows: rows, columns: columns, .q4_1, &random)
        }
        let matrices = [
            matrix("gate", Self.size, Self.columns), matrix("up", Self.size, Self.columns),
            matrix("down", 80, Self.size),
        ]
        let output = Tensor("hidden", rows: .tokens, columns: 80)
        let kernel = ExpertsKernel(
            input: input, routing: routing, gateWeight: matrices[0].weight, upWeight: matrices[1].weight,
            downWeight: matrices[2].weight, gate: .product(.silu), output: output)
        let numbers = random.normals(30 * Self.columns)
        let assigned = assignments(tokens: 30, &random)
        func run(_ rows: Range<Int>) throws -> [Float] {
            let run = KernelRun(
                tokens: rows.count, kernels: [.experts(kernel)], matrices: matrices,
                inputs: [
                    (input, Array(numbers[rows.lowerBound * Self.columns..<rows.upperBound * Self.columns])),
                    (routing, Array(assigned[rows.lowerBound * 2 * Self.chosen..<rows.upperBound * 2 * Self.chosen])),
                ])
            return try run.output(output, on: device.make()).numbers
        }
        let together = try run(0..<30)
        for row in [0, 7, 29] {
            Conformance.expect(try run(row..<row + 1) == Array(together[row * 80..<(row + 1) * 80]))
        }
    }
}
