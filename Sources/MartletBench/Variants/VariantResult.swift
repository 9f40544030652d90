// SPDX-License-Identifier: Apache-2.0

/// What a variant took at one length.
package struct VariantResult: Sendable {
    package let variant: EngineVariant
    /// Tokens of the prompts, or of the long one.
    package let length: Int
    /// What was in the cache, where that is a part of the measurement.
    package let prefix: PrefixState?
    package let timings: Timings
    /// Beside what the machine could do, if that was measured.
    package var share: LimitShare?

    package init(
        variant: EngineVariant, length: Int, prefix: PrefixState? = nil, timings: Timings, share: LimitShare? = nil
    ) {
        self.variant = variant
        self.length = length
        self.prefix = prefix
        self.timings = timings
        self.share = share
    }
}

/// Whether the cache holds a prompt's beginning when it comes.
package enum PrefixState: String, Sendable, CaseIterable {
    case cold, warm
}
