// SPDX-License-Identifier: Apache-2.0

/// How much a step may hold. All of it is allocated once, at start.
package struct BatchCapacity: Hashable, Sendable {
    package var tokens: Int
    package var sequences: Int
    /// Cache blocks of one sequence.
    package var blocksPerSequence: Int
    /// Rows of one head submission.
    package var logitRows: Int
    /// Partial results of attention, one a row and segment. A tile whose partials don't fit is not split.
    package var partials: Int
    /// Prefix ranges of one sequence.
    package var prefixRanges: Int
    /// Rows and columns of the query-query bias.
    package var queryQueryBias: Int
    /// Likeliest tokens reported a logit row.
    package var topLogprobs: Int
    /// Changes to logits, a sequence.
    package var logitEdits: LogitEdits.Capacity
    /// Plans of attention, one for each of the programs' groups.
    package var attentionPlans: Int
    /// Groups of layers that have block tables of their own.
    package var cacheGroups: Int

    /// A parameter for each field.
    package init(
        tokens: Int, sequences: Int, blocksPerSequence: Int, logitRows: Int, partials: Int = 4096,
        prefixRanges: Int = 0, queryQueryBias: Int = 0, topLogprobs: Int = 0,
        logitEdits: LogitEdits.Capacity = .none, attentionPlans: Int = 1, cacheGroups: Int = 1
    ) {
        precondition(tokens > 0 && sequences > 0 && blocksPerSequence > 0 && logitRows > 0)
        precondition(attentionPlans > 0 && cacheGroups > 0)
        precondition(partials >= 0 && prefixRanges >= 0 && queryQueryBias >= 0 && topLogprobs >= 0)
        self.tokens = tokens
        self.sequences = sequences
        self.blocksPerSequence = blocksPerSequence
        self.logitRows = logitRows
        self.partials = partials
        self.prefixRanges = prefixRanges
        self.queryQueryBias = queryQueryBias
        self.topLogprobs = topLogprobs
        self.logitEdits = logitEdits
        self.attentionPlans = attentionPlans
        self.cacheGroups = cacheGroups
    }
}
