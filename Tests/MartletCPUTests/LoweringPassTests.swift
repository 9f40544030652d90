// SPDX-License-Identifier: Apache-2.0

import CMartletKernels
import MartletCPU
import MartletCompute
import Testing

/// Weights whose names say how they are packed: `q…` is quantised, others are floats.
private struct Traits: LoweringTraits {
    var threadCount = 2
    var bytesPerPanel = 1 << 10

    func inputForm(of weight: Weight) -> MartletActivations { weight.name.hasPrefix("q") ? .int8 : .words }
    func panelBytes(of weight: Weight) -> Int { bytesPerPanel }
}

/// Each pass on a list of operations: what it makes of them, and what it leaves alone.
@Suite struct LoweringPassTests {
    private let hidden = Tensor("hidden", rows: .tokens, columns: 128)
    private let normed = Tensor("normed", rows: .tokens, columns: 128)
    private let queryKeyValue = Tensor("queryKeyValue", rows: .tokens, columns: 256)
    private let attended = Tensor("attended", rows: .tokens, columns: 128)
    private let gateUp = Tensor("gateUp", rows: .tokens, columns: 192)
    private let gated = Tensor("gated", rows: .tokens, columns: 96)
    private let heads = AttentionHeads(queryHeads: 2, keyValueHeads: 1, headSize: 64)

    private var norm: Kernel {
        .norm(NormKernel(input: hidden, weight: Weight("norm", columns: 128), epsilon: 1e-5, output: normed))
    }
    private var projections: Kernel { linear(normed, ["q.q": 128, "q.k": 64, "q.v": 64], queryKeyValue) }
    private var preparation: HeadPreparation {
        HeadPreparation(queryKeyValue: queryKeyValue, heads: heads, cacheLayer: 0)
    }
    private var attention: Kernel {
        .attention(
            AttentionKernel(
                queryKeyValue: queryKeyValue, output: attended,
                parameters: AttentionParameters(heads: heads, scale: 0.125), cacheLayer: 0))
    }
    private var gateAndUp: Kernel { linear(normed, ["q.gate": 96, "q.up": 96], gateUp) }
    private var gate: Kernel { .gatedActivation(input: gateUp, output: gated, gate: .product(.silu)) }
    private var down: Kernel { linear(gated, ["q.down": 128], hidden, accumulates: true) }

    private func linear(
        _ input: Tensor, _ weights: KeyValuePairs<String, Int>, _ output: Tensor, accumulates: Bool = false
    ) -> Kernel {
        .linear(
            LinearKernel(
                input: input, weights: weights.map { Weight($0.key, rows: $0.value, columns: input.columns) },
                output: output, accumulates: accumulates))
    }

    /// What a pass makes of kernels by themselves.
    private func run(
        _ passes: [any LoweringPass.Type], on kernels: [Kernel], following: [Kernel] = [], _ traits: Traits = Traits()
    ) -> [Operation] {
        var operations = kernels.enumerated().map { Operation($1, index: $0) }
        for pass in passes { pass.run(&operations, for: PassContext(traits, following: following)) }
        return operations
    }

    private func alone(_ kernels: [Kernel]) -> [Operation] { kernels.enumerated().map { Operation($1, index: $0) } }

    // MARK: Gate and up

    @Test func gateAndUpBecomeOneOperation() throws {
        let operations = run([FuseGatedLinear.self], on: [gateAndUp, gate, down])
        guard case .linear(let projections) = gateAndUp else { return }
        let fused = GatedLinearOperation(projections: projections, gate: .product(.silu), gated: gated, form: .int8)
        #expect(operations == [Operation(kind: .gatedLinear(fused), kernels: 0...1), Operation(down, index: 2)])
    }

    /// Where something else reads what lies between, where biases join, or where weights need two forms.
    @Test func gateAndUpStayApart() {
        let other = Tensor("other", rows: .tokens, columns: 128)
        let kernels = [gateAndUp, gate, down]
        for reader in [linear(gated, ["q.other": 128], other), linear(gateUp, ["q.other": 128], other)] {
            #expect(run([FuseGatedLinear.self], on: kernels, following: [reader]) == alone(kernels))
            #expect(run([FuseGatedLinear.self], on: kernels + [reader]) == alone(kernels + [reader]))
        }
        let mixed = [linear(normed, ["q.gate": 96, "up": 96], gateUp), gate, down]
        #expect(run([FuseGatedLinear.self], on: mixed) == alone(mixed))
        guard case .linear(let plain) = gateAndUp else { return }
        let biased = [
            .linear(
                LinearKernel(
                    input: normed, weights: plain.weights,
                    biases: [Weight("b", columns: 96), Weight("c", columns: 96)],
                    output: gateUp)), gate, down,
        ]
        #expect(run([FuseGatedLinear.self], on: biased) == alone(biased))
    }

    // MARK: Heads

    @Test func headsArePreparedWhereTheyAreProjected() {
        let operations = run([FuseHeadProjections.self], on: [projections, .prepareHeads(preparation), attention])
        guard case .linear(let linear) = projections else { return }
        let fused = LinearOperation(linear: linear, heads: preparation)
        #expect(operations == [Operation(kind: .linear(fused), kernels: 0...1), Operation(attention, index: 2)])
    }

    /// A norm over all heads needs them all; heads of half a panel share it; three threads would get 2, 1 and 1 heads.
    @Test func headsThatNeedOthersAreNot() {
        var together = preparation
        together.queryNorm = HeadNorm(weight: nil, epsilon: 1e-5)
        together.queryNorm?.extent = .allHeads
        #expect(
            run([FuseHeadProjections.self], on: [projections, .prepareHeads(together)])
                == alone([projections, .prepareHeads(together)]))
        var small = preparation
        small.heads = AttentionHeads(queryHeads: 8, keyValueHeads: 4, headSize: 16)
        #expect(
            run([FuseHeadProjections.self], on: [projections, .prepareHeads(small)])
                == alone([projections, .prepareHeads(small)]))
        let kernels = [projections, .prepareHeads(preparation)]
        #expect(run([FuseHeadProjections.self], on: kernels, Traits(threadCount: 3)) == alone(kernels))
    }

    // MARK: Copies

    @Test func attentionCopiesItsOutput() {
        let output = linear(attended, ["q.o": 128], hidden, accumulates: true)
        guard case .attention(let kernel) = attention else { return }
        let copying = Operation(
            kind: .attention(AttentionOperation(attention: kernel, encodedForm: .int8)), kernels: 0...0)
        #expect(run([EncodeAttended.self], on: [attention, output]) == [copying, Operation(output, index: 1)])
        // The copy is not made again.
        #expect(run([EncodeAttended.self, EncodeInputs.self], on: [attention, output]).count == 2)
        #expect(run([EncodeAttended.self], on: [attention, norm]) == alone([attention, norm]))
    }

    @Test func inputsAreCopiedOnceForEachForm() {
        func encode(_ tensor: Tensor, _ form: MartletActivations, at index: Int) -> Operation {
            Operation(
                kind: .rows(RowsOperation(extent: .tokens, steps: [.encode(tensor, form)])), kernels: index...index)
        }
        let mixed = linear(normed, ["q.gate": 96, "up": 96], gateUp)
        #expect(
            run([EncodeInputs.self], on: [norm, mixed, projections])
                == [
                    Operation(norm, index: 0), encode(normed, .int8, at: 1), encode(normed, .words, at: 1),
                    Operation(mixed, index: 1), Operation(projections, index: 2),
                ])
        // What was written anew is copied anew.
        #expect(
            run([EncodeInputs.self], on: [projections, norm, projections])
                == [
                    encode(normed, .int8, at: 0), Operation(projections, index: 0), Operation(norm, index: 1),
                    encode(normed, .int8, at: 2), Operation(projections, index: 2),
                ])
    }

    @Test func rowsOfOneExtentJoin() {
        let last = Tensor("last.hidden", rows: .logitRows, columns: 128)
        let angles = Kernel.rotaryAngles(
            inverseFrequencies: [1], output: Tensor("angles", rows: .tokens, columns: 2))
        let gather = Kernel.gatherRows(input: hidden, output: last)
        #expect(
            run([JoinRows.self], on: [norm, angles, gather, projections])
                == [
                    Operation(
                        kind: .rows(RowsOperation(extent: .tokens, steps: [.kernel(norm), .kernel(angles)])),
                        kernels: 0...1), Operation(gather, index: 2), Operation(projections, index: 3),
                ])
    }

    // MARK: Single rows

    private static let upToSingleRow: [any LoweringPass.Type] = [
        EncodeInputs.self, JoinRows.self, RepeatSingleRow.self,
    ]

    @Test func aSingleRowIsNormedByEachThread() {
        let operations = run(Self.upToSingleRow, on: [norm, projections])
        guard case .norm(let kernel) = norm, case .linear(let linear) = projections else { return }
        let rows = RowsOperation(
            extent: .tokens, steps: [.kernel(norm), .encode(normed, .int8)], skippedForSingleRow: 2)
        #expect(
            operations == [
                Operation(kind: .rows(rows), kernels: 0...1),
                Operation(kind: .linear(LinearOperation(linear: linear, singleRowNorm: kernel)), kernels: 1...1),
            ])
    }

    /// Where another layer reads the norm too, and where a thread has several chunks and would compute it in each.
    @Test func aSingleRowIsNormedOnceElsewhere() {
        func skipped(_ operations: [Operation]) -> [Int] {
            operations.compactMap { if case .rows(let rows) = $0.kind { rows.skippedForSingleRow } else { nil } }
        }
        let again = linear(normed, ["q.again": 128], hidden, accumulates: true)
        #expect(skipped(run(Self.upToSingleRow, on: [norm, projections, again])) == [0])
        #expect(skipped(run(Self.upToSingleRow, on: [norm, projections], following: [again])) == [0])
        #expect(skipped(run(Self.upToSingleRow, on: [norm, projections], Traits(bytesPerPanel: 1 << 20))) == [0])
        let other = linear(hidden, ["q.other": 256], queryKeyValue)
        #expect(skipped(run(Self.upToSingleRow, on: [norm, other])) == [0])
    }
}
