// SPDX-License-Identifier: Apache-2.0

import MartletCompute
import MartletModels

/// How many blocks the KV cache has, and how long a sequence may be for it.
struct CacheSizing {
    let options: EngineOptions
    let configuration: DecoderConfiguration

    /// Of the memory that is free, unless the options say how much.
    static let shareOfFreeMemory = 0.25

    func layout(on device: any ComputeDevice) throws -> (layout: CacheLayout, maxModelLength: Int) {
        let length = options.maxModelLength ?? configuration.contextLength
        let blocksPerSequence = (length + options.blockSize - 1) / options.blockSize
        let count = try blockCount(blocksPerSequence: blocksPerSequence, on: device)
        let layout = layout(blockCount: count)
        _ = try device.byteCount(of: layout)
        let maxLength = Scheduler.maxLength(blockCount: count, blockSize: options.blockSize)
        guard options.maxModelLength == nil || length <= maxLength else {
            throw EngineError(
                .invalidOptions,
                "the KV cache holds \(count * options.blockSize) tokens, fewer than max_model_len (\(length)); "
                    + "give it more memory (kv_cache_memory_bytes) or lower max_model_len", field: "max_model_len")
        }
        return (layout, min(length, maxLength))
    }

    private func layout(blockCount: Int) -> CacheLayout {
        CacheLayout(
            layers: configuration.layers, keyValueHeads: configuration.heads.keyValueHeads,
            headSize: configuration.heads.headSize, blockSize: options.blockSize, blockCount: blockCount,
            format: options.kvCacheDtype)
    }

    private func blockCount(blocksPerSequence: Int, on device: any ComputeDevice) throws -> Int {
        let most = 1 << 24
        if let blocks = options.numBlocksOverride {
            guard (1...most).contains(blocks) else {
                throw EngineError(
                    .invalidOptions, "num_gpu_blocks_override is \(blocks); it must be between 1 and \(most)",
                    field: "num_gpu_blocks_override")
            }
            return blocks
        }
        let blockBytes = try device.byteCount(of: layout(blockCount: 1))
        if let bytes = options.kvCacheMemoryBytes {
            guard bytes >= blockBytes else {
                throw EngineError(
                    .invalidOptions, "kv_cache_memory_bytes is \(bytes); a block alone takes \(blockBytes)",
                    field: "kv_cache_memory_bytes")
            }
            return min(bytes / blockBytes, most)
        }
        let useful = blocksPerSequence * min(options.maxNumSeqs, options.maxNumBatchedTokens)
        guard let free = device.freeMemory else { return min(useful, most) }
        return max(1, min(useful, Int(Double(free) * Self.shareOfFreeMemory) / blockBytes, most))
    }
}
