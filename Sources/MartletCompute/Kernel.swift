// SPDX-License-Identifier: Apache-2.0

/// One step of a program: what is computed, never how. Devices lower kernels to loops or launches of their own.
public enum Kernel: Sendable {
    /// `output[t] = table[tokenIDs[t]]`
    case embed(table: Weight, output: Tensor)

    /// `output[t] = [cos | sin]` of position t's angles, each `inverseFrequencies.count` long.
    case rotaryAngles(inverseFrequencies: [Double], output: Tensor)

    /// `output = input / rms(input) * weight`
    case norm(input: Tensor, weight: Weight, epsilon: Float, output: Tensor)

    /// `output = input x weights^T (+ biases)`; weights that share an input stand side by side in the output's columns.
    case linear(LinearKernel)

    /// Rotates q and k of each row of `queryKeyValue` in place by adjacent pairs and writes k and v to the row's slot
    /// of the cache.
    case rotaryAndCacheWrite(queryKeyValue: Tensor, angles: Tensor, parameters: AttentionParameters, layer: Int)

    /// `output[t] = softmax(q[t] . K) V` over the keys that t may see, by the step's plan: prefill and decode launches,
    /// then their merge.
    case attention(queryKeyValue: Tensor, output: Tensor, parameters: AttentionParameters, layer: Int)

    /// `output = activation(gate) * up`, where a row of `input` is `[gate | up]`.
    case gatedActivation(input: Tensor, output: Tensor, activation: Activation)

    /// `output[r] = input[logitRows[r]]`
    case gatherRows(input: Tensor, output: Tensor)

    /// Draws a token for each row of `logits` by the row's own parameters, into the batch's samples.
    case sample(logits: Tensor)

    /// The activation it writes, or adds to; nil where it writes none.
    public var output: Tensor? {
        switch self {
        case .embed(_, let output), .rotaryAngles(_, let output), .norm(_, _, _, let output),
            .attention(_, let output, _, _), .gatedActivation(_, let output, _), .gatherRows(_, let output):
            output
        case .linear(let linear): linear.output
        case .rotaryAndCacheWrite(let queryKeyValue, _, _, _): queryKeyValue
        case .sample: nil
        }
    }

    /// The activations it reads.
    public var inputs: [Tensor] {
        switch self {
        case .embed, .rotaryAngles: []
        case .norm(let input, _, _, _), .gatedActivation(let input, _, _), .gatherRows(let input, _): [input]
        case .linear(let linear): linear.accumulates ? [linear.input, linear.output] : [linear.input]
        case .rotaryAndCacheWrite(let queryKeyValue, let angles, _, _): [queryKeyValue, angles]
        case .attention(let queryKeyValue, _, _, _): [queryKeyValue]
        case .sample(let logits): [logits]
        }
    }
}

/// A linear layer, or several that share their input (q|k|v, gate|up).
public struct LinearKernel: Sendable {
    public let input: Tensor
    /// Each `[its share of the output's columns, input.columns]`.
    public let weights: [Weight]
    /// One a weight, or none at all.
    public let biases: [Weight]
    public let output: Tensor
    /// Adds to what the output holds: the residual connection.
    public let accumulates: Bool

    public init(input: Tensor, weights: [Weight], biases: [Weight] = [], output: Tensor, accumulates: Bool = false) {
        precondition(weights.allSatisfy { $0.columns == input.columns }, "weights share the input's columns")
        precondition(weights.reduce(0) { $0 + $1.rows } == output.columns, "weights fill the output's columns")
        precondition(biases.isEmpty || biases.count == weights.count, "a bias for each weight, or none")
        self.input = input
        self.weights = weights
        self.biases = biases
        self.output = output
        self.accumulates = accumulates
    }
}

public enum Activation: Sendable {
    /// `x / (1 + e^-x)`
    case silu
}
