// SPDX-License-Identifier: Apache-2.0

/// What an engine has computed, in the units that cost time. Counts are since its start; a difference is what happened
/// between two moments.
package struct ComputedWork: Equatable, Sendable {
    package var steps: Int
    /// Tokens that went through the layers, as far as others read them.
    package var tokens: Int
    /// Rows that went through the rest of the last layer, and that logits were made of.
    package var logitRows: Int
    /// Pairs of a token and one that it could see.
    package var attendedPairs: Int
    /// Tokens whose keys and values were read from the cache, once a step and sequence.
    package var readTokens: Int

    package init() {
        self.init(steps: 0, tokens: 0, logitRows: 0, attendedPairs: 0, readTokens: 0)
    }

    init(steps: Int, tokens: Int, logitRows: Int, attendedPairs: Int, readTokens: Int) {
        self.steps = steps
        self.tokens = tokens
        self.logitRows = logitRows
        self.attendedPairs = attendedPairs
        self.readTokens = readTokens
    }

    package static func - (later: Self, earlier: Self) -> Self {
        Self(
            steps: later.steps - earlier.steps, tokens: later.tokens - earlier.tokens,
            logitRows: later.logitRows - earlier.logitRows,
            attendedPairs: later.attendedPairs - earlier.attendedPairs,
            readTokens: later.readTokens - earlier.readTokens)
    }

    package static func + (first: Self, second: Self) -> Self { first - (Self() - second) }
}
