// SPDX-License-Identifier: Apache-2.0

package import MartletCompute

/// One sequence's share of a step.
package struct ScheduledSequence {
    package let sequence: SequenceState
    /// Tokens to compute, from the first one that isn't yet.
    package let tokenCount: Int
    /// Whether it only waits for its answer's next token.
    package let isDecode: Bool
}

/// Which sequences compute how many tokens in a step: from the scheduler to the step's runner.
package struct StepPlan {
    package internal(set) var entries: [ScheduledSequence] = []
    package internal(set) var tokenCount = 0
    /// Sequences among the entries that only wait for their next token.
    package internal(set) var decodeCount = 0

    package var isEmpty: Bool { entries.isEmpty }

    package init() {}

    mutating func removeAll() {
        entries.removeAll(keepingCapacity: true)
        tokenCount = 0
        decodeCount = 0
    }
}

/// What a step found out: for each entry of the plan in order, first the scores of its prompt's positions, then its new
/// token.
package struct StepOutput {
    package struct Row {
        /// Place of the sequence's entry in the plan.
        package let entry: Int
        /// The position whose next token it is about.
        package let position: Int
        package let isSample: Bool
        package var sampled: SampledToken
        /// Its likeliest tokens, in `topLogprobs`.
        package var top: Range<Int>

        package init(
            entry: Int, position: Int, isSample: Bool, sampled: SampledToken = SampledToken(), top: Range<Int> = 0..<0
        ) {
            self.entry = entry
            self.position = position
            self.isSample = isSample
            self.sampled = sampled
            self.top = top
        }
    }

    package var rows: [Row] = []
    package var topLogprobs: [TokenLogprob] = []
    /// How the step was run.
    package var runtimeMode = GraphRuntimeMode.none
    /// Attention kernels of one layer.
    package var attentionLaunches = 0

    package init() {}

    package mutating func removeAll() {
        rows.removeAll(keepingCapacity: true)
        topLogprobs.removeAll(keepingCapacity: true)
    }
}

/// Computes the steps that a scheduler plans.
package protocol StepRunner: AnyObject {
    /// - Parameter output: emptied and filled with the rows that the entries ask for.
    func run(_ plan: StepPlan, into output: inout StepOutput) throws
    /// Has memory behind blocks of the KV cache before steps write to them.
    func populate(_ blocks: Range<Int>)
}
