// SPDX-License-Identifier: Apache-2.0

import MartletCPU
import MartletCheckpoints
import MartletModels

/// What a model takes of memory once it is loaded. Buffers of a step come to it: tens of megabytes with the options'
/// defaults.
public struct ModelMemory: Equatable, Sendable {
    /// Bytes of the weights as the device keeps them.
    public let weightBytes: Int
    /// Bytes of the KV cache that a token of prompt or answer takes, in all layers together.
    public let cacheBytesPerToken: Int

    /// Bytes of the weights, and of a KV cache that holds `tokens`: the contexts of all sequences that run together.
    public func bytes(forTokens tokens: Int) -> Int {
        let (cache, overflow) = cacheBytesPerToken.multipliedReportingOverflow(by: max(0, tokens))
        return overflow ? .max : weightBytes.addingReportingOverflow(cache).overflow ? .max : weightBytes + cache
    }
}

extension ModelMemory {
    /// Without reading any weights. The sizes are the CPU's.
    init(of blueprint: ModelBlueprint, options: EngineOptions) {
        let instructionSet = options.instructionSet ?? .best
        weightBytes = blueprint.entries.reduce(0) { sum, entry in
            let tensor = entry.tensor
            return sum
                + (entry.use.roles.contains(.vector)
                    ? 4 * tensor.dimensions.reduce(1, *)
                    : instructionSet.packedByteCount(
                        elementType: tensor.elementType, count: tensor.count, rows: tensor.rows, columns: tensor.columns
                    ))
        }
        let heads = blueprint.shape.cacheHeads
        let format = options.kvCacheDtype ?? instructionSet.defaultCacheFormat
        cacheBytesPerToken =
            blueprint.shape.layers.count * heads.keyValueHeads * format.byteCount(headSize: heads.headSize)
    }
}
