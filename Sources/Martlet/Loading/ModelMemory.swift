// SPDX-License-Identifier: Apache-2.0

import MartletCPU
import MartletCheckpoints
import MartletModels

/// The memory that a loaded model takes. The buffers of a step come on top: tens of megabytes with default options.
public struct ModelMemory: Equatable, Sendable {
    /// Bytes of the weights as the device keeps them.
    public let weightBytes: Int
    /// Bytes of the KV cache that a token of prompt or answer takes, in all layers together.
    ///
    /// Layers with a window give back what their window has moved past, which this leaves out;
    /// `bytes(forSequences:tokens:)` counts it in.
    public let cacheBytesPerToken: Int
    private let groups: [CacheGroup]
    private let blockSize: Int
    private let stepLength: Int

    /// Bytes of the weights, and of a KV cache for `tokens`: the contexts of all sequences that run together. `Int.max`
    /// where the sum is larger than that.
    public func bytes(forTokens tokens: Int) -> Int {
        let cache = cacheBytesPerToken.multipliedReportingOverflow(by: max(0, tokens))
        let sum = weightBytes.addingReportingOverflow(cache.partialValue)
        return cache.overflow || sum.overflow ? .max : sum.partialValue
    }

    /// Bytes of the weights, and of a KV cache for sequences of as many tokens each, whose windowed layers keep their window
    /// alone. `Int.max` where the sum is larger than that.
    public func bytes(forSequences count: Int, tokens: Int) -> Int {
        let cache = cacheBytes(tokens: tokens).multipliedReportingOverflow(by: max(0, count))
        let sum = weightBytes.addingReportingOverflow(cache.partialValue)
        return cache.overflow || sum.overflow ? .max : sum.partialValue
    }

    /// Bytes of the KV cache that one sequence takes at most. `Int.max` where it is more.
    package func cacheBytes(tokens: Int) -> Int {
        // Longer than any model's context, and far from where sums of tokens overflow.
        guard tokens < 1 << 40 else { return .max }
        let blocks = groups.mostBlocks(upTo: max(0, tokens), stepLength: stepLength, blockSize: blockSize)
        let bytes = (blocks * blockSize).multipliedReportingOverflow(by: cacheBytesPerToken)
        return bytes.overflow ? .max : bytes.partialValue / groups.count
    }
}

extension ModelMemory {
    /// Without reading any weights. The sizes are the CPU's.
    init(of blueprint: ModelBlueprint, options: EngineOptions) {
        let instructionSet = options.instructionSet ?? .best
        let targets = options.quantization.map { MatrixQuantization($0.elementType, of: blueprint.shape) }
        weightBytes = blueprint.entries.reduce(0) { sum, entry in
            let tensor = entry.tensor
            let target = targets?.target(of: entry.weight, entry.use)
            return sum
                + (entry.use.roles.contains(.vector)
                    ? 4 * tensor.parameterCount
                    : instructionSet.packedByteCount(
                        elementType: target ?? tensor.elementType, count: tensor.count, rows: tensor.rows,
                        columns: tensor.columns
                    ))
        }
        let format = options.kvCacheDtype ?? instructionSet.defaultCacheFormat
        let layout = CacheLayout(of: blueprint.shape)
        (groups, blockSize, stepLength) = (layout.groups, max(1, options.blockSize), options.maxNumBatchedTokens)
        // A group with fewer layers than a block has room for leaves the rest unused.
        cacheBytesPerToken =
            layout.groups.count
            * layout.blockLayers.reduce(0) { $0 + $1.keyValueHeads * format.byteCount(headSize: $1.headSize) }
    }
}
