// SPDX-License-Identifier: Apache-2.0

/// The shape of a paged KV cache.
package struct CacheShape: Hashable, Sendable {
    package let layers: Int
    package let keyValueHeads: Int
    package let headSize: Int
    /// Tokens in a block.
    package let blockSize: Int
    package let blockCount: Int
    package let format: CacheFormat

    package init(
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
    package static let blockSizes = 16...1024

    /// Whether a block may have so many tokens.
    package static func allows(blockSize: Int) -> Bool { blockSizes.contains(blockSize) && blockSize % 16 == 0 }

    /// What `allows(blockSize:)` demands, for people.
    package static let blockSizeRule = "a multiple of 16 up to \(blockSizes.upperBound)"
}
