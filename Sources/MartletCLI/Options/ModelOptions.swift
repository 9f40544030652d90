// SPDX-License-Identifier: Apache-2.0

package import ArgumentParser
import Foundation
import Martlet
import MartletCompute

/// Which model, and what an engine of it holds.
package struct ModelOptions: ParsableArguments {
    package init() {}

    @Argument(
        help:
            "Path of a GGUF file, or a short name: smollm2. With --load-format dummy also of a config.json or its folder."
    )
    package var model: ModelPath

    @Option(help: "Where weights come from: auto or gguf is the file, dummy makes random ones of the model's shapes.")
    var loadFormat = EngineOptions().loadFormat

    @Option(
        name: .customLong("device"),
        help: ArgumentHelp(
            "What computes: auto is the fastest there is; reference is plain Swift, which others are compared with, some fifty times slower."
        ))
    var deviceKind = EngineOptions().device

    @OptionGroup var device: DeviceOptions

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

    @Option(parsing: .unconditional, help: "Tokens computed in one step.")
    var maxNumBatchedTokens = EngineOptions().maxNumBatchedTokens

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Sequences computed at a time, at most --max-num-batched-tokens; \(EngineOptions().maxNumSeqs) by default.")
    )
    var maxNumSeqs: Int?

    @Option(parsing: .unconditional, help: "Most tokens of one prompt in a step; 0 for no such bound.")
    var longPrefillTokenThreshold = EngineOptions().longPrefillTokenThreshold

    @Option(
        parsing: .unconditional,
        help: "Part of a step that prompts may take while answers are generated: less of it, steadier answers.")
    var prefillShare = EngineOptions().prefillShare

    @Option(help: "Whose turn it is: fcfs or priority.")
    var schedulingPolicy = EngineOptions().schedulingPolicy

    @Option(parsing: .unconditional, help: "Tokens in a block of the KV cache.")
    var blockSize = EngineOptions().blockSize

    @Option(
        help:
            "What the KV cache keeps; auto is what attention multiplies fastest of 16 bits: bfloat16, or int16 on x86 without fast products of that."
    )
    var kvCacheDtype = CacheDtype.auto

    @Option(
        help: ArgumentHelp(
            "Bytes of the KV cache, such as 2G (2^31) or 2g (2 thousand million); a quarter of the free memory by default.",
            valueName: "bytes"))
    var kvCacheMemoryBytes: ByteCount?

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("Blocks of the KV cache, whatever --kv-cache-memory-bytes says.", valueName: "blocks"))
    var numGpuBlocksOverride: Int?

    @Flag(
        inversion: .prefixedNo,
        help: "Whether prompts share the cached beginnings of earlier ones; they do by default, but in bench latency.")
    var enablePrefixCaching: Bool?

    @Option(
        help:
            "Activations that meet quantised weights: int8 as in llama.cpp, or int16, which keeps the weights' precision and reads prompts about half as fast."
    )
    var activations = EngineOptions().activations

    @Option(
        help: ArgumentHelp(
            "A file for a trace of steps and kernels, for Perfetto or Chrome; about 100 KB a step.", valueName: "file"),
        completion: .file())
    var trace: String?

    @Flag(name: [.long, .customShort("v")], help: "Says all that the model will run with.")
    var verbose = false

    /// All that these options say of an engine.
    func engineOptions() throws -> EngineOptions {
        var options = EngineOptions()
        options.device = deviceKind
        options.threads = device.threads
        options.instructionSet = device.instructionSet
        options.activations = activations
        options.loadFormat = loadFormat
        options.maxModelLength = maxModelLen
        options.allowsLongMaxModelLength = allowLongMaxModelLen
        options.blockSize = blockSize
        options.kvCacheDtype = kvCacheDtype.format
        options.kvCacheMemoryBytes = kvCacheMemoryBytes?.value
        options.numBlocksOverride = numGpuBlocksOverride
        options.enablePrefixCaching = enablePrefixCaching ?? options.enablePrefixCaching
        options.maxNumBatchedTokens = maxNumBatchedTokens
        options.maxNumSeqs = maxNumSeqs ?? options.maxNumSeqs
        options.longPrefillTokenThreshold = longPrefillTokenThreshold
        options.prefillShare = prefillShare
        options.schedulingPolicy = schedulingPolicy
        if let trace {
            try Terminal.requireWritable(trace)
            options.trace = TraceRecorder()
        }
        return options
    }

    /// Loads the model, with a progress bar, and says what it will run with.
    func load(_ options: EngineOptions) async throws -> EngineRun {
        FileFaults.exitCleanly()
        device.warnOfThreads()
        let bar = ProgressBar(title: "Loading")
        defer { bar.clear() }
        let path = try model.resolve()
        var options = options
        options.endTokens += try GenerationDefaults.auto.endTokens(model: path)
        let engine: Engine
        do { engine = try await Engine.load(path, options: options) { bar.show($0) } } catch {
            guard error.code == .invalidOptions else { throw error }
            throw error.input(longest: maxModelLen == nil ? options.maxModelLength : nil)
        }
        bar.clear()
        Terminal.note(verbose ? engine.model.line : engine.model.shortLine)
        return EngineRun(engine: engine, trace: options.trace, tracePath: trace)
    }
}
