// SPDX-License-Identifier: Apache-2.0

import MartletCompute
import MartletModels

/// How many blocks the KV cache has, and how long a sequence may be for it.
struct CacheSizing {
    let options: EngineOptions
    let layout: CacheLayout
    /// Tokens that the model was trained for.
    let contextLength: Int

    init(options: EngineOptions, shape: ModelShape) {
        self.options = options
        layout = CacheLayout(of: shape)
        contextLength = shape.contextLength
    }

    /// The share of the free memory that the cache takes, unless the options say how much.
    static let shareOfFreeMemory = 0.25

    /// Tokens of a sequence that fewer make no use of.
    private static let leastLength = 128

    struct Sizes {
        let cacheShape: CacheShape
        /// Blocks that sequences may hold: all but block 0.
        let usableBlocks: Int
        /// Tokens of the longest sequence.
        let maxModelLength: Int
        /// Tokens of all sequences that run together, where they are as long as that.
        let tokens: Int
    }

    func sizes(on device: any ComputeDevice) throws -> Sizes {
        let length = options.maxModelLength ?? contextLength
        let count = try blockCount(length: length, on: device)
        let cacheShape = cacheShape(blockCount: count + 1, on: device)
        let bytes = try device.byteCount(of: cacheShape)
        if let free = device.freeMemory, bytes > free {
            throw error("the KV cache would take \(bytes) bytes; \(free) are free", field: "kv_cache_memory_bytes")
        }
        let longest = layout.groups.longestSequence(
            in: count, limit: length, stepLength: options.maxNumBatchedTokens, blockSize: options.blockSize)
        guard longest == length || (options.maxModelLength == nil && longest >= Self.leastLength) else {
            throw error(
                "the KV cache holds a sequence of \(longest) tokens, not one of \(length): raise "
                    + (options.numBlocksOverride == nil ? "kv_cache_memory_bytes" : "num_gpu_blocks_override")
                    + " or lower max_model_len", field: "max_model_len")
        }
        return Sizes(
            cacheShape: cacheShape, usableBlocks: count, maxModelLength: longest,
            tokens: count * ((longest + options.blockSize - 1) / options.blockSize * options.blockSize)
                / blocks(of: longest))
    }

    /// Blocks that a sequence takes at most.
    private func blocks(of length: Int) -> Int {
        layout.groups.mostBlocks(
            upTo: length, stepLength: options.maxNumBatchedTokens, blockSize: options.blockSize)
    }

    private func error(_ message: String, field: String) -> EngineError {
        EngineError(.invalidOptions, message, field: field)
    }

    /// The shape of a cache of `blockCount` blocks, in the format and block size that the options ask for.
    func cacheShape(blockCount: Int, on device: any ComputeDevice) -> CacheShape {
        CacheShape(
            layers: layout.blockLayers, blockSize: options.blockSize, blockCount: blockCount,
            format: options.kvCacheDtype ?? device.defaultCacheFormat)
    }

    /// Blocks that sequences may hold.
    private func blockCount(length: Int, on device: any ComputeDevice) throws -> Int {
        let most = 1 << 24
        if let blocks = options.numBlocksOverride {
            guard (1...most).contains(blocks) else {
                throw error(
                    "num_gpu_blocks_override is \(blocks); it must be between 1 and \(most)",
                    field: "num_gpu_blocks_override")
            }
            return blocks
        }
        let blockBytes = try device.byteCount(of: cacheShape(blockCount: 1, on: device))
        if let bytes = options.kvCacheMemoryBytes {
            guard bytes / 2 >= blockBytes else {
                throw error(
                    "kv_cache_memory_bytes is \(bytes), less than a block of the cache takes beside the one that is never used "
                        + "(\(blockBytes) each)",
                    field: "kv_cache_memory_bytes")
            }
            if let free = device.freeMemory, bytes > free {
                throw error(
                    "kv_cache_memory_bytes is \(bytes), but \(free) bytes are free", field: "kv_cache_memory_bytes")
            }
            guard bytes / blockBytes <= most else {
                throw error(
                    "kv_cache_memory_bytes is \(bytes); more than \(most * blockBytes) can't be used",
                    field: "kv_cache_memory_bytes")
            }
            return bytes / blockBytes - 1
        }
        let useful = min(blocks(of: length) * min(options.maxNumSeqs, options.maxNumBatchedTokens), most)
        guard let free = device.freeMemory else { return useful }
        return max(1, min(useful, Int(Double(free) * Self.shareOfFreeMemory) / blockBytes - 1))
    }
}
