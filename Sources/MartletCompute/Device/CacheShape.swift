// SPDX-License-Identifier: Apache-2.0

/// The shape of a paged KV cache.
package struct CacheShape: Hashable, Sendable {
    /// What one layer keeps of a token.
    package struct Layer: Hashable, Sendable {
        package let keyValueHeads: Int
        package let headSize: Int

        package init(keyValueHeads: Int, headSize: Int) {
            self.keyValueHeads = keyValueHeads
            self.headSize = headSize
        }
    }

    package let layers: [Layer]
    /// Tokens in a block.
    package let blockSize: Int
    package let blockCount: Int
    package let format: CacheFormat

    package init(
        layers: [Layer], blockSize: Int, blockCount: Int, format: CacheFormat = .float(.bfloat16)
    ) {
        self.layers = layers
        self.blockSize = blockSize
        self.blockCount = blockCount
        self.format = format
    }

    /// Layers that are alike.
    package init(
        layers: Int, keyValueHeads: Int, headSize: Int, blockSize: Int, blockCount: Int,
        format: CacheFormat = .float(.bfloat16)
    ) {
        self.init(
            layers: Array(repeating: Layer(keyValueHeads: keyValueHeads, headSize: headSize), count: layers),
            blockSize: blockSize, blockCount: blockCount, format: format)
    }

    /// Bytes of all layers and blocks.
    ///
    /// - Parameter headBytes: what one head of a layer takes in a block.
    /// - Throws: where the sum can't be addressed.
    package func byteCount(headBytes: (Layer) -> Int) throws(DeviceError) -> Int {
        var sum = 0
        for layer in layers {
            let (heads, isTooLarge) = headBytes(layer).multipliedReportingOverflow(by: layer.keyValueHeads)
            let (bytes, overflow) = heads.multipliedReportingOverflow(by: blockCount)
            let (total, sumOverflow) = sum.addingReportingOverflow(bytes)
            guard !isTooLarge, !overflow, !sumOverflow, bytes >= 0 else {
                throw DeviceError(code: .outOfMemory, message: "the KV cache is too large")
            }
            sum = total
        }
        return sum
    }

    /// Block sizes that an engine may be given: the multiples of 16 in this range.
    package static let blockSizes = 16...1024

    /// Whether a block may have so many tokens.
    package static func allows(blockSize: Int) -> Bool { blockSizes.contains(blockSize) && blockSize % 16 == 0 }

    /// What `allows(blockSize:)` demands, for people.
    package static let blockSizeRule = "a multiple of 16 up to \(blockSizes.upperBound)"
}
