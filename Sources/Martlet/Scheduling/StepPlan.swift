// SPDX-License-Identifier: Apache-2.0

package import MartletCompute

/// One sequence's share of a step.
package struct ScheduledSequence {
    package let sequence: SequenceState
    /// The positions that the step computes. If the step ahead draws the token at the last one, that token is unknown until
    /// that step has ended.
    package let positions: Range<Int>
    /// Whether it only waits for its answer's next token.
    package let isDecode: Bool
    /// Whether the step draws the token behind the positions.
    package let samples: Bool
    /// The step writes the block tables to their rows from this index on. Earlier steps have written what is before.
    package let firstChangedBlock: Int
    /// The sequence's, when the step was planned.
    private let withdrawals: Int

    package var tokenCount: Int { positions.count }
    /// Whether the sequence has run on since the step was planned. The step computes it in vain otherwise.
    package var isCurrent: Bool { sequence.withdrawals == withdrawals }

    /// A share of the next `count` tokens of a sequence.
    init(_ sequence: SequenceState, count: Int, isDecode: Bool) {
        self.sequence = sequence
        self.isDecode = isDecode
        positions = sequence.computedCount..<sequence.computedCount + count
        samples = sequence.samples(upTo: positions.upperBound)
        firstChangedBlock = sequence.firstChangedBlock
        withdrawals = sequence.withdrawals
    }
}

/// Which sequences compute how many tokens in a step: from the scheduler to the step's runner.
package struct StepPlan {
    package internal(set) var entries: [ScheduledSequence] = []
    package internal(set) var tokenCount = 0
    /// Sequences among the entries that only wait for their next token.
    package internal(set) var decodeCount = 0

    package var isEmpty: Bool { entries.isEmpty }

    package init() {}

    mutating func append(_ entry: ScheduledSequence) {
        entries.append(entry)
        tokenCount += entry.tokenCount
        if entry.isDecode { decodeCount += 1 }
    }

    /// Takes a sequence's entry out and returns how many tokens it had.
    mutating func remove(_ sequence: SequenceState) -> Int {
        guard let index = entries.firstIndex(where: { $0.sequence === sequence }) else { return 0 }
        let entry = entries.remove(at: index)
        tokenCount -= entry.tokenCount
        if entry.isDecode { decodeCount -= 1 }
        return entry.tokenCount
    }

    package mutating func removeAll() {
        entries.removeAll(keepingCapacity: true)
        tokenCount = 0
        decodeCount = 0
    }
}

/// What a step found out: for each entry of the plan in order, first the scores of its prompt's positions, then its new
/// token.
package struct StepOutput {
    package struct Row {
        /// Index of the sequence's entry in the plan.
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

/// Computes the steps that a scheduler plans: each is prepared, submitted and finished, in this order, with the same plan.
/// One step at a time is submitted and not finished; the next one may be prepared meanwhile if `preparesAhead`.
package protocol StepRunner: AnyObject {
    /// Whether a step may be prepared while the one before it runs. Where the device doesn't run by itself, that gains
    /// nothing.
    var preparesAhead: Bool { get }
    /// Writes what doesn't depend on the tokens of the step before: who computes which positions in which blocks.
    func prepare(_ plan: StepPlan)
    /// Adds the tokens to the prepared step and starts it.
    func submit(_ plan: StepPlan) throws
    /// Returns once the submitted step has ended.
    ///
    /// - Parameter output: emptied and filled with the rows that the entries ask for.
    func finish(_ plan: StepPlan, into output: inout StepOutput) throws
    /// Has memory behind blocks of the KV cache before steps write to them.
    func populate(_ blocks: Range<Int>)
}
