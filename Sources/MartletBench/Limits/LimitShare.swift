// SPDX-License-Identifier: Apache-2.0

package import Martlet
import MartletCompute
import MartletModels

/// How close a measurement came to what the machine could do meanwhile. A prompt is up against the multipliers, an answer
/// against the memory.
///
/// Reckoned for products as they are by default: int8 for quantised weights, int16 or bf16 for others; for attention int16
/// beside a cache of it, else bf16. Activations of 16 bits take two int8 products for each that is counted.
package struct LimitShare: Encodable, Sendable {
    /// The part of the time that the products would take at the multipliers' peaks.
    package let multiply: Double
    /// The part of the time that a read in order of all weights and cached tokens would take, once a step.
    package let read: Double
    /// What both are shares of.
    package let limits: MachineLimits

    /// - Parameter seconds: that the work took.
    package init(_ work: ComputedWork, of model: LoadedModel, seconds: Double, limits: MachineLimits) {
        let cost = ModelCost(model)
        let linear = model.matrixType.isQuantized ? limits.int8 : limits.floatMatrices
        let attention = model.cacheFormat == .int16 ? limits.int16 : limits.bfloat16
        multiply =
            (Double(work.tokens) * cost.bodyOperations / linear
                + Double(work.logitRows) * cost.headOperations / linear
                + Double(work.attendedPairs) * cost.operationsAPair / attention) / seconds
        read =
            (Double(work.steps) * Double(model.linearBytes)
                + Double(work.readTokens) * model.cacheBytesPerToken)
            / limits.read / seconds
        self.limits = limits
    }

    private enum CodingKeys: String, CodingKey {
        case multiply = "share_of_multiply_peak"
        case read = "share_of_sequential_read"
        case limits
    }
}

/// Operations of a model, a multiply and an add each counted.
struct ModelCost {
    /// A token's, in the linear layers up to the last attention.
    let bodyOperations: Double
    /// A row's of logits, in those after it.
    let headOperations: Double
    /// All layers' for a token and one that it sees: a score, and a share of the value.
    let operationsAPair: Double

    init(_ model: LoadedModel) {
        func operations(_ program: Program) -> Double {
            program.kernels.reduce(0) { sum, kernel in
                guard case .linear(let linear) = kernel else { return sum }
                return linear.weights.reduce(sum) { $0 + 2 * Double($1.rows) * Double($1.columns) }
            }
        }
        bodyOperations = operations(model.programs.body)
        headOperations = operations(model.programs.head)
        operationsAPair = model.shape.layers.reduce(0) { $0 + Double(4 * $1.attention.heads.outputColumns) }
    }
}
