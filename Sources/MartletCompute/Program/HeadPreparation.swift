// SPDX-License-Identifier: Apache-2.0

import Glibc

/// What is done with a row's q, k and v between their projection and attention: they are clamped, then norms, then the
/// rotation of q and k, then q's temperature, all in place; then k and v are written to the row's slot of the cache.
package struct HeadPreparation: Hashable, Sendable {
    /// `[tokens, queryHeads | keyValueHeads | keyValueHeads, headSize]`
    package var queryKeyValue: Tensor
    package var heads: AttentionHeads
    /// What numbers are held to, below and above.
    package var clamp: Float?
    package var queryNorm: HeadNorm?
    package var keyNorm: HeadNorm?
    package var valueNorm: HeadNorm?
    package var rotation: HeadRotation?
    package var queryTemperature: QueryTemperature?
    /// What K and V are divided by before an 8-bit cache keeps them; as in `AttentionParameters`.
    package var keyScale: Float = 1
    package var valueScale: Float = 1
    /// The layer of a cache block that k and v are written to.
    package var cacheLayer: Int
    /// The group whose slots say where.
    package var cacheGroup: Int

    package init(
        queryKeyValue: Tensor, heads: AttentionHeads, rotation: HeadRotation? = nil, cacheLayer: Int,
        cacheGroup: Int = 0
    ) {
        self.queryKeyValue = queryKeyValue
        self.heads = heads
        self.rotation = rotation
        self.cacheLayer = cacheLayer
        self.cacheGroup = cacheGroup
    }
}

/// A norm of a row's queries, keys or values.
package struct HeadNorm: Hashable, Sendable {
    /// What one mean is taken over.
    package enum Extent: Hashable, Sendable {
        /// Each head by itself.
        case head
        /// All heads of the row together.
        case allHeads
    }

    package var kind = NormKind.rootMeanSquare
    package var extent = Extent.head
    /// `[headSize]`, shared by all heads, or `[heads, headSize]`.
    package var weight: Weight?
    package var epsilon: Float

    package init(weight: Weight?, epsilon: Float) {
        self.weight = weight
        self.epsilon = epsilon
    }
}

/// The rotation of q and k by a row's angles. What lies behind the first `angles.columns` elements of a head stays.
package struct HeadRotation: Hashable, Sendable {
    /// Which two elements of a head turn together.
    package enum Pairing: Hashable, Sendable, CaseIterable {
        /// 2i and 2i + 1.
        case adjacent
        /// i and i + half of the elements that turn.
        case halves
    }

    /// `[tokens, cos | sin]`
    package var angles: Tensor
    package var pairing: Pairing

    package init(angles: Tensor, pairing: Pairing) {
        self.angles = angles
        self.pairing = pairing
    }
}

/// Multiplies the query at position p by `1 + beta * ln(1 + floor(p / length))`.
package struct QueryTemperature: Hashable, Sendable {
    package var beta: Double
    /// Positions; positive.
    package var length: Int

    package init(beta: Double, length: Int) {
        self.beta = beta
        self.length = length
    }

    /// What the query at a position is multiplied with.
    package func factor(position: Int) -> Double { 1 + beta * log(1 + Double(position / length)) }
}
