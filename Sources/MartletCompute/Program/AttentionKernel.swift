// SPDX-License-Identifier: Apache-2.0

/// Attention of one layer over its part of the cache.
package struct AttentionKernel: Hashable, Sendable {
    package var queryKeyValue: Tensor
    package var output: Tensor
    package var parameters: AttentionParameters
    /// Which of the step's plans cuts it: that of its `AttentionGroup`. `DecoderPrograms` numbers them.
    package var plan = 0
    /// The layer of a cache block that holds its keys and values.
    package var cacheLayer: Int
    /// The group whose block tables name those blocks.
    package var cacheGroup: Int

    package init(
        queryKeyValue: Tensor, output: Tensor, parameters: AttentionParameters, cacheLayer: Int, cacheGroup: Int = 0
    ) {
        self.queryKeyValue = queryKeyValue
        self.output = output
        self.parameters = parameters
        self.cacheLayer = cacheLayer
        self.cacheGroup = cacheGroup
    }
}

/// What a plan of attention depends on: layers that agree in it share one.
package struct AttentionGroup: Hashable, Sendable {
    package let heads: AttentionHeads
    package let visibility: AttentionVisibility

    package init(heads: AttentionHeads, visibility: AttentionVisibility = AttentionVisibility()) {
        self.heads = heads
        self.visibility = visibility
    }
}

extension AttentionParameters {
    package var group: AttentionGroup { AttentionGroup(heads: heads, visibility: visibility) }
}
