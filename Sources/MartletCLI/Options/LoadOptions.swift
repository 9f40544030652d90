// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import Martlet
import MartletAttention
import MartletBench
import MartletCompute

/// The options of every command that loads a model.
struct LoadOptions: ParsableArguments {
    @Argument(help: "Path of a GGUF file, or a short name: smollm2.")
    var model: ModelPath

    @OptionGroup var device: DeviceOptions

    @Option(
        parsing: .unconditional,
        help: "Tokens of prompt and answer together; by default the model's own, or what the KV cache holds.")
    var maxModelLen: Int?

    @Option(parsing: .unconditional, help: "Tokens computed in one step.")
    var maxNumBatchedTokens = EngineOptions().maxNumBatchedTokens

    @Option(parsing: .unconditional, help: "Sequences computed at a time, at most --max-num-batched-tokens.")
    var maxNumSeqs = EngineOptions().maxNumSeqs

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
        help: "What the KV cache keeps: auto or bfloat16, float16, float32, fp8 or fp8_e4m3, fp8_e5m2."
    )
    var kvCacheDtype = FloatFormat.bfloat16

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
        help: "Whether prompts share the cached beginnings of earlier ones.")
    var enablePrefixCaching = EngineOptions().enablePrefixCaching

    @Option(help: "Attention kernels a step: unified is one, split one for prefills and one for decodes.")
    var attentionLaunch = EngineOptions().attentionLaunch

    @Option(
        help:
            "Activations that meet quantised weights: int16 keeps the weights' precision, int8 reads prompts about twice as fast."
    )
    var activations = EngineOptions().activations

    @Option(
        help: ArgumentHelp(
            "A file for a trace of steps and kernels, for Perfetto or Chrome; about 100 KB a step.", valueName: "file"),
        completion: .file())
    var trace: String?

    /// Loads the model and says what it will run with.
    func loadEngine() async throws -> EngineRun {
        var options = EngineOptions()
        options.threads = device.threads
        options.instructionSet = device.instructionSet
        options.activations = activations
        options.attentionLaunch = attentionLaunch
        options.maxModelLength = maxModelLen
        options.blockSize = blockSize
        options.kvCacheDtype = kvCacheDtype
        options.kvCacheMemoryBytes = kvCacheMemoryBytes?.value
        options.numBlocksOverride = numGpuBlocksOverride
        options.enablePrefixCaching = enablePrefixCaching
        options.maxNumBatchedTokens = maxNumBatchedTokens
        options.maxNumSeqs = maxNumSeqs
        options.longPrefillTokenThreshold = longPrefillTokenThreshold
        options.prefillShare = prefillShare
        options.schedulingPolicy = schedulingPolicy
        if let trace {
            try Terminal.requireWritable(trace)
            options.trace = TraceRecorder()
        }
        FileFaults.exitCleanly()
        let bar = ProgressBar(title: "Loading")
        defer { bar.clear() }
        let engine = try await Engine.load(model.resolve(), options: options) { bar.show($0) }
        bar.clear()
        Terminal.note(engine.model.line)
        return EngineRun(engine: engine, trace: options.trace, tracePath: trace)
    }
}

/// An engine for the time of a command.
struct EngineRun {
    let engine: Engine
    let trace: TraceRecorder?
    let tracePath: String?

    /// Ends the engine, and writes the trace if there is to be one.
    func finish() async throws {
        guard let trace, let tracePath else { return }
        await engine.stop()
        try trace.write(to: tracePath)
        let dropped = trace.droppedCount
        Terminal.note("trace: \(tracePath)" + (dropped > 0 ? ", without the last \(dropped) spans" : ""))
        let breakdown = DecodeStepBreakdown(trace)
        guard breakdown.steps > 0 else { return }
        func percent(_ part: Double) -> String { String(format: "%.1f %%", 100 * part / breakdown.total) }
        Terminal.note(
            "\(breakdown.steps) steps that computed one answer's next token and nothing else, median \(String(format: "%.3f", breakdown.median * 1e3)) ms: "
                + "kernels \(percent(breakdown.kernels)), between kernels \(percent(breakdown.betweenKernels)), "
                + "host \(percent(breakdown.host))")
    }
}

extension LoadedModel {
    /// One line for people: what it will run with.
    var line: String {
        "\(name.escapingControlCharacters) on \(deviceName) | KV cache \(cacheBytes.formattedBytes), \(cacheTokens) tokens "
            + "| a step: \(maxNumBatchedTokens) tokens, \(maxNumSeqs) sequences | a sequence: \(maxModelLength) tokens"
    }
}
