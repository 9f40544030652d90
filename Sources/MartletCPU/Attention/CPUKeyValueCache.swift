// SPDX-License-Identifier: Apache-2.0

package import CMartletKernels
package import MartletCompute

/// The paged cache: `[chunk][layer][K | V][block][kvHead]`, a head's part laid out as `cache_layout.h` draws it.
///
/// A chunk is as many blocks as attention takes at a time. Blocks that were taken together follow each other there, so it
/// reads long runs. A chunk's layers lie together, so that a sequence touches memory for its own tokens: with layers
/// outermost the first token would touch a huge page in each.
package final class CPUKeyValueCache: KeyValueCache {
    package let shape: CacheShape
    package let memory: AlignedMemory
    /// Each layer's part of a chunk.
    package let layers: [Layer]
    /// Blocks in a chunk.
    let chunkBlocks: Int
    /// Bytes from a chunk to the next.
    package let chunkBytes: Int

    /// A layer's part of a chunk.
    package struct Layer {
        let keyValueHeads: Int
        /// Bytes of one head's K in one block, and of its V.
        package let headKeyBytes: Int
        package let headValueBytes: Int
        /// Where it begins.
        fileprivate let offset: Int

        /// Bytes of a block: all heads, K and V.
        package var blockBytes: Int { keyValueHeads * (headKeyBytes + headValueBytes) }
    }

    package init(_ shape: CacheShape) throws(DeviceError) {
        _ = try Self.byteCount(of: shape)
        let chunkBlocks = max(1, Int(MARTLET_ATTENTION_TILE) / shape.blockSize)
        var offset = 0
        layers = shape.layers.map { heads in
            let bytes = Self.headBytes(heads, shape)
            let layer = Layer(
                keyValueHeads: heads.keyValueHeads, headKeyBytes: bytes.keys, headValueBytes: bytes.values,
                offset: offset)
            offset += chunkBlocks * layer.blockBytes
            return layer
        }
        (self.shape, self.chunkBlocks, chunkBytes) = (shape, chunkBlocks, offset)
        // Blocks that only fill the last chunk up are never written to.
        let wholeChunks = CacheShape(
            layers: shape.layers, blockSize: shape.blockSize,
            blockCount: (shape.blockCount + chunkBlocks - 1) / chunkBlocks * chunkBlocks, format: shape.format)
        memory = try AlignedMemory(byteCount: Self.byteCount(of: wholeChunks))
    }

    static func byteCount(of shape: CacheShape) throws(DeviceError) -> Int {
        for layer in shape.layers where !CPUDevice.allows(headSize: layer.headSize) {
            throw DeviceError(
                code: .unsupported,
                message: "head size \(layer.headSize) is not supported; it must be \(CPUDevice.headSizeRule)")
        }
        guard (1...(1 << 16)).contains(shape.blockSize), shape.blockSize % Int(MARTLET_CACHE_GROUP) == 0 else {
            throw DeviceError(
                code: .unsupported,
                message: "block size \(shape.blockSize) is not a positive multiple of \(MARTLET_CACHE_GROUP)")
        }
        return try shape.byteCount { layer in
            let head = headBytes(layer, shape)
            return head.keys + head.values
        }
    }

    private static func headBytes(_ layer: CacheShape.Layer, _ shape: CacheShape) -> (keys: Int, values: Int) {
        let (format, headSize, blockSize) = (
            MartletFormat(shape.format), Int64(layer.headSize), Int64(shape.blockSize)
        )
        return (
            Int(martlet_cache_key_bytes(format, headSize, blockSize)),
            Int(martlet_cache_value_bytes(format, headSize, blockSize))
        )
    }

    /// Where some blocks lie, and all others of their chunks.
    package func bytes(of blocks: Range<Int>) -> Range<Int> {
        guard !blocks.isEmpty else { return 0..<0 }
        return blocks.lowerBound / chunkBlocks * chunkBytes..<((blocks.upperBound - 1) / chunkBlocks + 1) * chunkBytes
    }

    /// A layer's part of the first chunk.
    package func pointer(layer: Int) -> UnsafeMutablePointer<UInt8> {
        memory.pointer(at: layers[layer].offset)
    }

    /// Where a block's keys and values of one layer and head begin.
    package func pointers(
        block: Int = 0, layer: Int, head: Int = 0
    ) -> (keys: UnsafeMutablePointer<UInt8>, values: UnsafeMutablePointer<UInt8>) {
        let (chunk, within) = block.quotientAndRemainder(dividingBy: chunkBlocks)
        let (keys, part) = (pointer(layer: layer) + chunk * chunkBytes, layers[layer])
        let values = keys + chunkBlocks * part.keyValueHeads * part.headKeyBytes
        let index = within * part.keyValueHeads + head
        return (keys + index * part.headKeyBytes, values + index * part.headValueBytes)
    }
}

extension MartletFormat {
    package init(_ format: CacheFormat) {
        switch format {
        case .float(let format): self.init(format)
        case .int16: self = .int16
        }
    }

    package init(_ format: FloatFormat) {
        self =
            switch format {
            case .bfloat16: .bfloat16
            case .float16: .float16
            case .float32: .float32
            case .float8E4M3: .float8E4M3
            case .float8E5M2: .float8E5M2
            }
    }
}
