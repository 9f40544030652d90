// SPDX-License-Identifier: Apache-2.0

/// One step of a program: what is computed, never how. Devices lower kernels to loops or launches of their own.
package enum Kernel: Hashable, Sendable {
    /// Rows of a table, by token or by position.
    case embed(EmbedKernel)

    /// `output[t] = magnitude * [cos | sin]` of position t's angles, each `inverseFrequencies.count` long.
    case rotaryAngles(inverseFrequencies: [Double], magnitude: Double = 1, output: Tensor)

    case norm(NormKernel)

    /// `output = input x weights^T (+ biases)`; weights that share an input stand side by side in the output's columns.
    case linear(LinearKernel)

    /// Makes q, k and v of a row ready in place, and writes k and v to the row's slot of the cache.
    case prepareHeads(HeadPreparation)

    /// `output[t] = softmax(q[t] . K) V` over the keys that t may see.
    case attention(AttentionKernel)

    /// `output = activation(input)`
    case activation(input: Tensor, output: Tensor, activation: Activation)

    /// `output = gate(input)`, where a row of `input` is `[gate | up]`.
    case gatedActivation(input: Tensor, output: Tensor, gate: Gate)

    /// Chooses each row's experts.
    case route(RouteKernel)

    /// Runs each row through its chosen experts.
    case experts(ExpertsKernel)

    /// `output += scale * input`, each row times the logistic function of its `gate` where there is one.
    case add(AddKernel)

    /// `tensor = cap * tanh(factor * tensor / cap)`, in place; without a cap `factor * tensor`.
    case scale(Tensor, factor: Float, softcap: Float? = nil)

    /// `output[r] = input[logitRows[r]]`
    case gatherRows(input: Tensor, output: Tensor)

    /// Draws a token for each row of `logits` by the row's own parameters, into the batch's samples.
    case sample(logits: Tensor)
}

/// Rows of a table: token embeddings, or learned positions.
package struct EmbedKernel: Hashable, Sendable {
    /// What a row's number in the table is.
    package enum Index: Hashable, Sendable { case tokenID, position }

    package var table: Weight
    package var index = Index.tokenID
    package var scale: Float = 1
    package var output: Tensor
    /// Adds to what the output holds.
    package var accumulates = false

    package init(table: Weight, output: Tensor) {
        self.table = table
        self.output = output
    }
}

/// `output = (input - mean) / deviation * weight + bias`, over a row; the mean is subtracted by `layer` alone.
package struct NormKernel: Hashable, Sendable {
    package var kind = NormKind.rootMeanSquare
    package var input: Tensor
    package var weight: Weight?
    package var bias: Weight?
    /// Added to the mean square.
    package var epsilon: Float
    package var output: Tensor
    /// Adds to what the output holds.
    package var accumulates = false

    package init(input: Tensor, weight: Weight?, epsilon: Float, output: Tensor) {
        self.input = input
        self.weight = weight
        self.epsilon = epsilon
        self.output = output
    }
}

/// What a norm divides by.
package enum NormKind: Hashable, Sendable {
    /// The root of the mean square (Zhang and Sennrich, 2019).
    case rootMeanSquare
    /// The standard deviation, once the mean is subtracted (Ba et al., 2016).
    case layer
}

/// A linear layer, or several that share their input (q|k|v, gate|up).
package struct LinearKernel: Hashable, Sendable {
    package let input: Tensor
    /// Each `[its share of the output's columns, input.columns]`.
    package let weights: [Weight]
    /// One a weight, or none at all.
    package let biases: [Weight]
    package let output: Tensor
    /// Adds to what the output holds: the residual connection.
    package let accumulates: Bool

    package init(input: Tensor, weights: [Weight], biases: [Weight] = [], output: Tensor, accumulates: Bool = false) {
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

/// `output += scale * input`
package struct AddKernel: Hashable, Sendable {
    package var input: Tensor
    package var scale: Float = 1
    /// `[rows, 1]`: a row is multiplied with `1 / (1 + e^-gate)`.
    package var gate: Tensor?
    package var output: Tensor

    package init(input: Tensor, output: Tensor) {
        self.input = input
        self.output = output
    }
}
