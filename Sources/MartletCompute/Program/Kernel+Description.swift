// SPDX-License-Identifier: Apache-2.0

extension Kernel: CustomStringConvertible {
    /// One line for people: `attn_norm[tokens, 576] = norm(hidden, blk.0.attn_norm.weight)`.
    package var description: String {
        switch self {
        case .embed(let embed):
            return line(embed.output, embed.accumulates, "embed", [embed.table.name])
        case .rotaryAngles(let inverseFrequencies, _, let output):
            return line(output, false, "rotaryAngles", ["\(inverseFrequencies.count) frequencies"])
        case .norm(let norm):
            let name = norm.kind == .layer ? "layerNorm" : "norm"
            return line(
                norm.output, norm.accumulates, name,
                [norm.input.name] + [norm.weight, norm.bias].compactMap { $0?.name })
        case .linear(let linear):
            let weights = (linear.weights + linear.biases).map(\.name).joined(separator: " | ")
            return line(linear.output, linear.accumulates, "linear", [linear.input.name, weights])
        case .prepareHeads(let heads):
            let norms = [heads.queryNorm, heads.keyNorm, heads.valueNorm].compactMap { $0?.weight?.name }
            let rotation = heads.rotation.map { ["\($0.angles.name) by \($0.pairing)"] } ?? []
            return line(
                heads.queryKeyValue, false, "prepareHeads",
                norms + rotation + [cache(heads.cacheLayer, group: heads.cacheGroup)])
        case .attention(let attention):
            let heads = attention.parameters.heads
            return line(
                attention.output, false, "attention",
                [
                    attention.queryKeyValue.name, cache(attention.cacheLayer, group: attention.cacheGroup),
                    "\(heads.queryHeads) heads over \(heads.keyValueHeads) of \(heads.headSize)",
                ])
        case .activation(let input, let output, let activation):
            return line(output, false, "activation", [input.name, "\(activation)"])
        case .gatedActivation(let input, let output, let gate):
            return line(output, false, "gatedActivation", [input.name, "\(gate)"])
        case .route(let route):
            return line(
                route.output, false, "route",
                [route.input.name, route.weight.name, "\(route.chosen) of \(route.weight.rows)"])
        case .experts(let experts):
            return line(
                experts.output, experts.accumulates, "experts",
                [experts.input.name, experts.routing.name, experts.downWeight.name])
        case .add(let add):
            return line(add.output, true, "add", [add.input.name] + (add.gate.map { [$0.name] } ?? []))
        case .scale(let tensor, let factor, let softcap):
            return line(tensor, false, "scale", ["\(factor)"] + (softcap.map { ["softcap \($0)"] } ?? []))
        case .gatherRows(let input, let output):
            return line(output, false, "gatherRows", [input.name])
        case .sample(let logits):
            return "samples = sample(\(logits.name))"
        }
    }

    private func cache(_ layer: Int, group: Int) -> String {
        "cache layer \(layer)" + (group > 0 ? " of group \(group)" : "")
    }

    private func line(_ output: Tensor, _ accumulates: Bool, _ name: String, _ operands: [String]) -> String {
        "\(output) \(accumulates ? "+=" : "=") \(name)(\(operands.joined(separator: ", ")))"
    }
}

extension Tensor: CustomStringConvertible {
    /// `hidden[tokens, 576]`
    package var description: String { "\(name)[\(rows), \(columns)]" }
}
