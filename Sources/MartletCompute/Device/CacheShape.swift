// SPDX-License-Identifier: Apache-2.0

/// The shape of a paged KV cache.
public struct CacheShape: Hashable, Sendable {
    public let layers: Int
    public let keyValueHeads: Int
    public let headSize: Int
    /// Tokens in a block.
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

    /// Block sizes that an engine may be given: the multiples of 16 in this range.
    public static let blockSizes = 16...1024

    /// Whether a block may have so many tokens.
    public static func allows(blockSize: Int) -> Bool { blockSizes.contains(blockSize) && blockSize % 16 == 0 }

    /// What `allows(blockSize:)` demands, for people.
    public static let blockSizeRule = "a multiple of 16 up to \(blockSizes.upperBound)"
}
