// SPDX-License-Identifier: Apache-2.0

/// Attention of one layer over its part of the cache.
public struct AttentionKernel: Hashable, Sendable {
    public var queryKeyValue: Tensor
    public var output: Tensor
    public var parameters: AttentionParameters
    /// Which of the step's plans cuts it: that of its `AttentionGroup`. `DecoderPrograms` numbers them.
    public var plan = 0
    /// The cache's layer that holds its keys and values.
    public var cacheLayer: Int

    public init(queryKeyValue: Tensor, output: Tensor, parameters: AttentionParameters, cacheLayer: Int) {
        self.queryKeyValue = queryKeyValue
        self.output = output
        self.parameters = parameters
        self.cacheLayer = cacheLayer
    }
}

/// What a plan of attention depends on: layers that agree in it share one.
public struct AttentionGroup: Hashable, Sendable {
    public let heads: AttentionHeads
    public let visibility: AttentionVisibility

    public init(heads: AttentionHeads, visibility: AttentionVisibility = AttentionVisibility()) {
        self.heads = heads
        self.visibility = visibility
    }
}

extension AttentionParameters {
    public var group: AttentionGroup { AttentionGroup(heads: heads, visibility: visibility) }
}
