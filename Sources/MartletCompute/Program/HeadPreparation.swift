// SPDX-License-Identifier: Apache-2.0

import Glibc

/// What is done with a row's q, k and v between their projection and attention: norms, then the rotation of q and k, then
/// q's temperature, all in place; then k and v are written to the row's slot of the cache.
public struct HeadPreparation: Hashable, Sendable {
    /// `[tokens, queryHeads | keyValueHeads | keyValueHeads, headSize]`
    public var queryKeyValue: Tensor
    public var heads: AttentionHeads
    public var queryNorm: HeadNorm?
    public var keyNorm: HeadNorm?
    public var valueNorm: HeadNorm?
    public var rotation: HeadRotation?
    public var queryTemperature: QueryTemperature?
    /// What K and V are divided by before an 8-bit cache keeps them; as in `AttentionParameters`.
    public var keyScale: Float = 1
    public var valueScale: Float = 1
    /// The cache's layer that k and v are written to.
    public var cacheLayer: Int

    public init(queryKeyValue: Tensor, heads: AttentionHeads, rotation: HeadRotation? = nil, cacheLayer: Int) {
        self.queryKeyValue = queryKeyValue
        self.heads = heads
        self.rotation = rotation
        self.cacheLayer = cacheLayer
    }
}

/// A norm of a row's queries, keys or values.
public struct HeadNorm: Hashable, Sendable {
    /// What one mean is taken over.
    public enum Extent: Hashable, Sendable {
        /// Each head by itself.
        case head
        /// All heads of the row together.
        case allHeads
    }

    public var kind = NormKind.rootMeanSquare
    public var extent = Extent.head
    /// `[headSize]`, shared by all heads, or `[heads, headSize]`.
    public var weight: Weight?
    public var epsilon: Float

    public init(weight: Weight?, epsilon: Float) {
        self.weight = weight
        self.epsilon = epsilon
    }
}

/// The rotation of q and k by a row's angles. What lies behind the first `angles.columns` elements of a head stays.
public struct HeadRotation: Hashable, Sendable {
    /// Which two elements of a head turn together.
    public enum Pairing: Hashable, Sendable, CaseIterable {
        /// 2i and 2i + 1.
        case adjacent
        /// i and i + half of the elements that turn.
        case halves
    }

    /// `[tokens, cos | sin]`
    public var angles: Tensor
    public var pairing: Pairing

    public init(angles: Tensor, pairing: Pairing) {
        self.angles = angles
        self.pairing = pairing
    }
}

/// Multiplies the query at position p by `1 + beta * ln(1 + floor(p / length))`.
public struct QueryTemperature: Hashable, Sendable {
    public var beta: Double
    /// Positions; positive.
    public var length: Int

    public init(beta: Double, length: Int) {
        self.beta = beta
        self.length = length
    }

    /// What the query at a position is multiplied with.
    public func factor(position: Int) -> Double { 1 + beta * log(1 + Double(position / length)) }
}
