// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Martlet
import MartletCompute

/// How long a sequence may be, and what the KV cache holds.
package struct CacheOptions: ParsableArguments {
    package init() {}

    @Option(
        name: .customLong("max-model-len"), parsing: .unconditional,
        help: ArgumentHelp(
            "Tokens of prompt and answer together, such as 8192 or 8k; auto, the default, is the model's own, or what the KV cache holds.",
            valueName: "max-model-len"))
    var askedModelLen: ModelLength?

    /// nil for the default.
    package var maxModelLen: Int? { askedModelLen?.tokens }

    @Flag(help: "Permits a --max-model-len beyond what the model was trained for; answers may make no sense there.")
    var allowLongMaxModelLen = false

    @Option(
        help: ArgumentHelp(
            "Bytes of the KV cache, such as 2G (2^31) or 2g (2 thousand million); a quarter of the free memory by default.",
            valueName: "bytes"))
    var kvCacheMemoryBytes: ByteCount?

    @Option(
        help:
            "What the KV cache keeps; auto is what attention multiplies fastest of 16 bits: bfloat16, or int16 on x86 without fast products of that."
    )
    var kvCacheDtype = CacheDtype.auto

    @Flag(
        inversion: .prefixedNo,
        help: "Whether prompts share the cached beginnings of earlier ones; they do by default, but in bench latency.")
    var enablePrefixCaching: Bool?

    @Option(parsing: .unconditional, help: "Tokens in a block of the KV cache.")
    var blockSize = EngineOptions().blockSize

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("Blocks of the KV cache, whatever --kv-cache-memory-bytes says.", valueName: "blocks"))
    var numGpuBlocksOverride: Int?

    func apply(to options: inout EngineOptions) {
        options.maxModelLength = maxModelLen
        options.allowsLongMaxModelLength = allowLongMaxModelLen
        options.kvCacheMemoryBytes = kvCacheMemoryBytes?.value
        options.kvCacheDtype = kvCacheDtype.format
        options.enablePrefixCaching = enablePrefixCaching ?? options.enablePrefixCaching
        options.blockSize = blockSize
        options.numBlocksOverride = numGpuBlocksOverride
    }
}
