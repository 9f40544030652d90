// SPDX-License-Identifier: Apache-2.0

/// Chooses experts for each row by their scores, and says how much each counts.
package struct RouteKernel: Hashable, Sendable {
    /// How a row's logits become scores.
    package enum Scoring: Hashable, Sendable, CaseIterable {
        /// The softmax over all experts.
        case softmax
        /// The logistic function of each logit.
        case sigmoid
        /// The logits choose; the softmax over those chosen is how much each counts.
        case softmaxOfChosen
    }

    package var input: Tensor
    /// `[experts, input.columns]`; read as f32.
    package var weight: Weight
    /// `[experts]`, added to the logits.
    package var bias: Weight?
    /// `[experts]`, added to the scores for the choice alone.
    package var choiceBias: Weight?
    package var scoring = Scoring.softmax
    /// Whether the chosen experts' scores are divided by their sum, or by 6.1e-5 where that is more.
    package var normalizes = true
    /// What the scores are multiplied with at last.
    package var scale: Float = 1
    /// `[rows, chosen | chosen]`: a row's experts, best first (of equals the lowest first), then how much each counts.
    package var output: Tensor

    /// - Precondition: no more experts are chosen than there are.
    package init(input: Tensor, weight: Weight, output: Tensor) {
        precondition(weight.columns == input.columns && output.columns % 2 == 0 && output.columns / 2 <= weight.rows)
        self.input = input
        self.weight = weight
        self.output = output
    }

    /// Experts of a row.
    package var chosen: Int { output.columns / 2 }
    /// The smallest sum that scores are divided by: the smallest normal number of f16.
    package static let leastSum: Float = 0x1p-14
}

/// `output[r] = sum of w * down(gate(gate(x), up(x)))` over the row's experts, in the order of their choice.
package struct ExpertsKernel: Hashable, Sendable {
    package var input: Tensor
    /// What a `RouteKernel` wrote.
    package var routing: Tensor
    /// `[experts][size, input.columns]` each.
    package var gateWeight: Weight
    package var upWeight: Weight
    /// `[experts][output.columns, size]`
    package var downWeight: Weight
    /// `[experts, size]`, `[experts, size]` and `[experts, output.columns]`
    package var gateBias: Weight?
    package var upBias: Weight?
    package var downBias: Weight?
    package var gate: Gate
    package var output: Tensor
    /// Adds to what the output holds.
    package var accumulates = false

    /// A parameter for each field.
    ///
    /// - Precondition: the weights fit each other, the input and the output.
    package init(
        input: Tensor, routing: Tensor, gateWeight: Weight, upWeight: Weight, downWeight: Weight, gate: Gate,
        output: Tensor
    ) {
        precondition(gateWeight.count == downWeight.count && upWeight.count == downWeight.count)
        precondition(gateWeight.columns == input.columns && upWeight.columns == input.columns)
        precondition(gateWeight.rows == downWeight.columns && upWeight.rows == downWeight.columns)
        precondition(downWeight.rows == output.columns && routing.columns / 2 <= downWeight.count)
        self.input = input
        self.routing = routing
        self.gateWeight = gateWeight
        self.upWeight = upWeight
        self.downWeight = downWeight
        self.gate = gate
        self.output = output
    }

    /// Experts of a row.
    package var chosen: Int { routing.columns / 2 }
}
