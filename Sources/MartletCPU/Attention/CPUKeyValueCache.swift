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
    /// Bytes of one head's K in one block, and of its V.
    package let headKeyBytes: Int
    package let headValueBytes: Int
    /// Blocks in a chunk.
    let chunkBlocks: Int

    package init(_ shape: CacheShape) throws(DeviceError) {
        _ = try Self.byteCount(of: shape)
        self.shape = shape
        (headKeyBytes, headValueBytes) = Self.headBytes(shape)
        chunkBlocks = max(1, Int(MARTLET_ATTENTION_TILE) / shape.blockSize)
        // Blocks that only fill the last chunk up are never written to.
        let wholeChunks = CacheShape(
            layers: shape.layers, keyValueHeads: shape.keyValueHeads, headSize: shape.headSize,
            blockSize: shape.blockSize,
            blockCount: (shape.blockCount + chunkBlocks - 1) / chunkBlocks * chunkBlocks, format: shape.format)
        memory = try AlignedMemory(byteCount: Self.byteCount(of: wholeChunks))
    }

    static func byteCount(of shape: CacheShape) throws(DeviceError) -> Int {
        guard CPUDevice.allows(headSize: shape.headSize) else {
            throw DeviceError(
                code: .unsupported,
                message: "head size \(shape.headSize) is not supported; it must be \(CPUDevice.headSizeRule)")
        }
        guard (1...(1 << 16)).contains(shape.blockSize), shape.blockSize % Int(MARTLET_CACHE_GROUP) == 0 else {
            throw DeviceError(
                code: .unsupported,
                message: "block size \(shape.blockSize) is not a positive multiple of \(MARTLET_CACHE_GROUP)")
        }
        let head = headBytes(shape)
        var bytes = head.keys + head.values
        for factor in [shape.keyValueHeads, shape.blockCount, shape.layers] {
            let (product, overflow) = bytes.multipliedReportingOverflow(by: factor)
            guard !overflow, product >= 0 else {
                throw DeviceError(code: .outOfMemory, message: "the KV cache is too large")
            }
            bytes = product
        }
        return bytes
    }

    private static func headBytes(_ shape: CacheShape) -> (keys: Int, values: Int) {
        let (format, headSize, blockSize) = (
            MartletFormat(shape.format), Int64(shape.headSize), Int64(shape.blockSize)
        )
        return (
            Int(martlet_cache_key_bytes(format, headSize, blockSize)),
            Int(martlet_cache_value_bytes(format, headSize, blockSize))
        )
    }

    /// Bytes of a block of one layer: all heads, K and V.
    package var layerBlockBytes: Int { shape.keyValueHeads * (headKeyBytes + headValueBytes) }

    /// Bytes from a chunk to the next.
    package var chunkBytes: Int { chunkBlocks * shape.layers * layerBlockBytes }

    /// Where some blocks lie, and all others of their chunks.
    package func bytes(of blocks: Range<Int>) -> Range<Int> {
        guard !blocks.isEmpty else { return 0..<0 }
        return blocks.lowerBound / chunkBlocks * chunkBytes..<((blocks.upperBound - 1) / chunkBlocks + 1) * chunkBytes
    }

    /// A layer's part of the first chunk.
    package func pointer(layer: Int) -> UnsafeMutablePointer<UInt8> {
        memory.pointer(at: layer * chunkBlocks * layerBlockBytes)
    }

    /// Where a block's keys and values of one layer and head begin.
    package func pointers(
        block: Int = 0, layer: Int, head: Int = 0
    ) -> (keys: UnsafeMutablePointer<UInt8>, values: UnsafeMutablePointer<UInt8>) {
        let (chunk, within) = block.quotientAndRemainder(dividingBy: chunkBlocks)
        let keys = pointer(layer: layer) + chunk * chunkBytes
        let values = keys + chunkBlocks * shape.keyValueHeads * headKeyBytes
        let index = within * shape.keyValueHeads + head
        return (keys + index * headKeyBytes, values + index * headValueBytes)
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
