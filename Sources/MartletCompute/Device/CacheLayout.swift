// SPDX-License-Identifier: Apache-2.0

/// The extent of a paged KV cache.
public struct CacheLayout: Hashable, Sendable {
    public let layers: Int
    public let keyValueHeads: Int
    public let headSize: Int
    /// Tokens in a block, a multiple of 16.
    public let blockSize: Int
    public let blockCount: Int
    public let format: CacheFormat

    public init(
        layers: Int, keyValueHeads: Int, headSize: Int, blockSize: Int, blockCount: Int,
        format: CacheFormat = .float(.bfloat16)
    ) {
        self.layers = layers
        self.keyValueHeads = keyValueHeads
        self.headSize = headSize
        self.blockSize = blockSize
        self.blockCount = blockCount
        self.format = format
    }
}
