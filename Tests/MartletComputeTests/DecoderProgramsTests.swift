// SPDX-License-Identifier: Apache-2.0

import MartletCompute
import Testing

/// The cut between body and head, the numbers of plans, and what weights are used for.
@Suite struct DecoderProgramsTests {
    private let hidden = Tensor("hidden", rows: .tokens, columns: 8, precision: .exact)
    private let attended = Tensor("attended", rows: .tokens, columns: 8)
    private let logits = Tensor("logits", rows: .tokens, columns: 20)
    private let table = Weight("table", rows: 20, columns: 8)

    private func attention(_ window: Int?, layer: Int) -> Kernel {
        var parameters = AttentionParameters(
            heads: AttentionHeads(queryHeads: 2, keyValueHeads: 1, headSize: 4), scale: 0.5)
        if let window { parameters.visibility.scope = .window(window) }
        return .attention(
            AttentionKernel(
                queryKeyValue: Tensor("queryKeyValue", rows: .tokens, columns: 16), output: attended,
                parameters: parameters, cacheLayer: layer))
    }

    private var kernels: [Kernel] {
        let output = LinearKernel(
            input: attended, weights: [Weight("o", rows: 8, columns: 8)], output: hidden, accumulates: true)
        return [.embed(EmbedKernel(table: table, output: hidden))] + [attention(9, layer: 0), attention(nil, layer: 1)]
            + [
                attention(9, layer: 2), .linear(output),
                .linear(LinearKernel(input: hidden, weights: [table], output: logits)), .sample(logits: logits),
            ]
    }

    /// The head gathers what it reads of the body, and works on rows of its own.
    @Test func theHeadBeginsBehindTheLastAttention() {
        let programs = DecoderPrograms(kernels)
        #expect(programs.body.kernels.count == 4)
        let last = Tensor("last.hidden", rows: .logitRows, columns: 8, precision: .exact)
        let lastAttended = Tensor("last.attended", rows: .logitRows, columns: 8)
        #expect(
            programs.head.kernels.prefix(2) == [
                .gatherRows(input: attended, output: lastAttended), .gatherRows(input: hidden, output: last),
            ])
        #expect(programs.head.kernels.dropFirst(2).allSatisfy { $0.inputs.allSatisfy { $0.rows == .logitRows } })
        #expect(programs.head.kernels.count == 5)
    }

    /// Layers that see the same keys share a plan.
    @Test func plansAreNumberedByGroup() {
        let programs = DecoderPrograms(kernels)
        let plans = programs.kernels.compactMap { kernel in
            if case .attention(let attention) = kernel { attention.plan } else { nil }
        }
        #expect(plans == [0, 1, 0] && programs.attentionGroups.count == 2)
        #expect(programs.attentionGroups[0].visibility.scope == .window(9))
    }

    @Test func weightsKnowTheirUses() {
        let programs = DecoderPrograms(kernels)
        let uses = Dictionary(uniqueKeysWithValues: programs.weights.map { ($0.weight.name, $0.use.roles) })
        #expect(uses == ["table": [.embedding, .linear], "o": [.linear]])
        #expect(programs.linearWeights.map(\.name) == ["table", "o"])
    }
}
