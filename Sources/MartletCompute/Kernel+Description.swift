// SPDX-License-Identifier: Apache-2.0

extension Kernel: CustomStringConvertible {
    /// One line for people: `normed = norm(hidden, blk.0.attn_norm.weight)`.
    public var description: String {
        switch self {
        case .embed(let table, let output):
            return "\(output) = embed(\(table.name))"
        case .rotaryAngles(let inverseFrequencies, let output):
            return "\(output) = rotaryAngles(\(inverseFrequencies.count) frequencies)"
        case .norm(let input, let weight, _, let output):
            return "\(output) = norm(\(input.name), \(weight.name))"
        case .linear(let linear):
            let weights = linear.weights.map(\.name) + linear.biases.map(\.name)
            return "\(linear.output) \(linear.accumulates ? "+=" : "=") linear(\(linear.input.name), "
                + weights.joined(separator: " | ") + ")"
        case .rotaryAndCacheWrite(let queryKeyValue, let angles, _, let layer):
            return "\(queryKeyValue) = rotaryAndCacheWrite(\(angles.name), layer \(layer))"
        case .attention(let queryKeyValue, let output, let parameters, let layer):
            let heads = parameters.heads
            return "\(output) = attention(\(queryKeyValue.name), layer \(layer), \(heads.queryHeads) heads over "
                + "\(heads.keyValueHeads) of \(heads.headSize))"
        case .gatedActivation(let input, let output, let activation):
            return "\(output) = gatedActivation(\(input.name), \(activation))"
        case .gatherRows(let input, let output):
            return "\(output) = gatherRows(\(input.name))"
        case .sample(let logits):
            return "samples = sample(\(logits.name))"
        }
    }
}

extension Tensor: CustomStringConvertible {
    /// `hidden[tokens, 576]`
    public var description: String { "\(name)[\(rows), \(columns)]" }
}
