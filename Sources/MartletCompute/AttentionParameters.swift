// SPDX-License-Identifier: Apache-2.0

/// The heads of an attention layer; a row of q|k|v is `[queryHeads + 2 * keyValueHeads, headSize]`.
public struct AttentionHeads: Hashable, Sendable {
    public let queryHeads: Int
    public let keyValueHeads: Int
    public let headSize: Int

    /// - Precondition: `queryHeads` is a multiple of `keyValueHeads`; all are positive.
    public init(queryHeads: Int, keyValueHeads: Int, headSize: Int) {
        precondition(queryHeads > 0 && keyValueHeads > 0 && headSize > 0 && queryHeads % keyValueHeads == 0)
        self.queryHeads = queryHeads
        self.keyValueHeads = keyValueHeads
        self.headSize = headSize
    }

    /// Query heads that share a KV head.
    public var groupSize: Int { queryHeads / keyValueHeads }
    /// Columns of a q|k|v row.
    public var queryKeyValueColumns: Int { (queryHeads + 2 * keyValueHeads) * headSize }
    /// Columns of an output row.
    public var outputColumns: Int { queryHeads * headSize }
}

/// How attention scores its keys. Causal: a token sees itself and what came before it.
public struct AttentionParameters: Hashable, Sendable {
    public let heads: AttentionHeads
    /// What `q . k` is multiplied with, usually `1 / sqrt(headSize)`.
    public let scale: Float

    public init(heads: AttentionHeads, scale: Float) {
        self.heads = heads
        self.scale = scale
    }
}
