// SPDX-License-Identifier: Apache-2.0

/// Whose turn it is.
public enum SchedulingPolicy: String, Sendable, CaseIterable {
    /// First come, first served.
    case fcfs
    /// By the request's priority, the lowest number first; first come, first served among equals.
    case priority
}

/// What a step may hold, and who comes first.
package struct SchedulerConfiguration: Sendable {
    package var maxNumBatchedTokens: Int
    package var maxNumSeqs: Int
    package var policy = SchedulingPolicy.fcfs
    /// Most prompt tokens of one sequence in a step; 0 for no such bound.
    package var longPrefillTokenThreshold = 0
    /// Part of `maxNumBatchedTokens` that prompts may take in a step that answers wait for, where a token counts for
    /// more the longer its context: a step's length is what everyone who reads an answer waits for.
    package var prefillShare = 1.0
    /// The context at which attention makes a token cost twice.
    package var doublingContext = Int.max

    package init(maxNumBatchedTokens: Int, maxNumSeqs: Int) {
        precondition(maxNumBatchedTokens > 0 && maxNumSeqs > 0)
        self.maxNumBatchedTokens = maxNumBatchedTokens
        // Every running answer gets its token in every step.
        self.maxNumSeqs = min(maxNumSeqs, maxNumBatchedTokens)
    }

    /// Work that prompts may bring to a step with decodes, in tokens without context.
    package var prefillWork: Double { max(1, Double(maxNumBatchedTokens) * prefillShare) }

    /// What computing tokens behind a context costs, in tokens without one.
    package func work(of count: Int, context: Int) -> Double {
        Double(count) * (1 + (Double(context) + Double(count) / 2) / Double(doublingContext))
    }

    /// The most tokens that cost no more than `work`, at least one.
    package func tokenCount(costing work: Double, context: Int) -> Int {
        // n (1 + (c + n / 2) / d) = w, solved for n.
        let doubling = Double(doublingContext)
        let linear = 1 + Double(context) / doubling
        let count = 2 * work / (linear + (linear * linear + 2 * work / doubling).squareRoot())
        return max(1, Int(count.rounded(.down)))
    }
}
