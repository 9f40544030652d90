// SPDX-License-Identifier: Apache-2.0

/// What a variant took at one length.
public struct VariantResult: Sendable {
    public let variant: EngineVariant
    /// Tokens of the prompts, or of the long one.
    public let length: Int
    /// What was in the cache, where that is a part of the measurement.
    public let prefix: PrefixState?
    public let timings: Timings
    /// Beside what the machine could do, if that was measured.
    public var share: LimitShare?
}

/// Whether the cache holds a prompt's beginning when it comes.
public enum PrefixState: String, Sendable, CaseIterable {
    case cold, warm
}
