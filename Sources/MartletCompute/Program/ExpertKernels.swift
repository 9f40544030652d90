// SPDX-License-Identifier: Apache-2.0

/// Chooses experts for each row by their scores, and says how much each counts.
public struct RouteKernel: Hashable, Sendable {
    /// How a row's logits become scores.
    public enum Scoring: Hashable, Sendable, CaseIterable {
        /// The softmax over all experts.
        case softmax
        /// The logistic function of each logit.
        case sigmoid
        /// The logits choose; the softmax over those chosen is how much each counts.
        case softmaxOfChosen
    }

    public var input: Tensor
    /// `[experts, input.columns]`; read as f32.
    public var weight: Weight
    /// `[experts]`, added to the logits.
    public var bias: Weight?
    /// `[experts]`, added to the scores for the choice alone.
    public var choiceBias: Weight?
    public var scoring = Scoring.softmax
    /// Whether the chosen experts' scores are divided by their sum, or by 6.1e-5 where that is more.
    public var normalizes = true
    /// What the scores are multiplied with at last.
    public var scale: Float = 1
    /// `[rows, chosen | chosen]`: a row's experts, best first (of equals the lowest first), then how much each counts.
    public var output: Tensor

    /// - Precondition: no more experts are chosen than there are.
    public init(input: Tensor, weight: Weight, output: Tensor) {
        precondition(weight.columns == input.columns && output.columns % 2 == 0 && output.columns / 2 <= weight.rows)
        self.input = input
        self.weight = weight
        self.output = output
    }

    /// Experts of a row.
    public var chosen: Int { output.columns / 2 }
    /// The smallest sum that scores are divided by: the smallest normal number of f16.
    public static let leastSum: Float = 0x1p-14
}

/// `output[r] = sum of w * down(gate(gate(x), up(x)))` over the row's experts, in the order of their choice.
public struct ExpertsKernel: Hashable, Sendable {
    public var input: Tensor
    /// What a `RouteKernel` wrote.
    public var routing: Tensor
    /// `[experts][size, input.columns]` each.
    public var gateWeight: Weight
    public var upWeight: Weight
    /// `[experts][output.columns, size]`
    public var downWeight: Weight
    /// `[experts, size]`, `[experts, size]` and `[experts, output.columns]`
    public var gateBias: Weight?
    public var upBias: Weight?
    public var downBias: Weight?
    public var gate: Gate
    public var output: Tensor
    /// Adds to what the output holds.
    public var accumulates = false

    /// A parameter for each field.
    ///
    /// - Precondition: the weights fit each other, the input and the output.
    public init(
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
    public var chosen: Int { routing.columns / 2 }
}
