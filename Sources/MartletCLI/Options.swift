// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Martlet
import MartletAttention
import MartletCPU
import MartletCompute

/// The options of every command that computes.
struct DeviceOptions: ParsableArguments {
    @Option(help: "Threads; all processors by default.")
    var threads: Int?

    @Option(help: "Kernels to use: portable, AVX2 or AVX-512; the best by default.")
    var instructionSet: InstructionSet?

    /// A device for commands without a model.
    func makeDevice() throws -> CPUDevice { try CPUDevice(threads: threads, instructionSet: instructionSet) }
}

/// The options of every command that loads a model.
struct LoadOptions: ParsableArguments {
    @Argument(help: "Path of a GGUF file, or a short name: smollm2.")
    var model: ModelPath

    @OptionGroup var device: DeviceOptions

    @Option(help: "Tokens of prompt and answer together; the model's own by default.")
    var maxModelLen: Int?

    @Option(help: "Tokens computed in one step.")
    var maxNumBatchedTokens = EngineOptions().maxNumBatchedTokens

    @Option(help: "Tokens in a block of the KV cache.")
    var blockSize = EngineOptions().blockSize

    @Option(
        help: "What the KV cache keeps: auto or bfloat16, float16, float32, fp8 or fp8_e4m3, fp8_e5m2."
    )
    var kvCacheDtype = FloatFormat.bfloat16

    @Option(help: "Attention kernels a step: unified is one, split one for prefills and one for decodes.")
    var attentionLaunch = EngineOptions().attentionLaunch

    @Option(
        help:
            "Activations that meet quantised weights: int16 keeps the weights' precision, int8 reads prompts about twice as fast."
    )
    var activations = EngineOptions().activations

    func loadEngine() async throws -> Engine {
        var options = EngineOptions()
        options.threads = device.threads
        options.maxModelLength = maxModelLen
        options.maxNumBatchedTokens = maxNumBatchedTokens
        options.blockSize = blockSize
        options.kvCacheDtype = kvCacheDtype
        options.attentionLaunch = attentionLaunch
        options.instructionSet = device.instructionSet
        options.activations = activations
        FileFaults.exitCleanly()
        let bar = ProgressBar(title: "Loading")
        defer { bar.clear() }
        return try await Engine.load(model.resolve(), options: options) { bar.show($0) }
    }
}

extension InstructionSet: ExpressibleByArgument {
    public init?(argument: String) {
        guard let match = Self.allCases.first(where: { $0.rawValue.lowercased() == argument.lowercased() }) else {
            return nil
        }
        self = match
    }
}

extension ActivationPrecision: ExpressibleByArgument {}
extension AttentionLaunch: ExpressibleByArgument {}

extension FloatFormat: ExpressibleByArgument {
    /// vLLM's spellings for `--kv-cache-dtype`.
    public init?(argument: String) {
        switch argument.lowercased() {
        case "auto", "bf16": self = .bfloat16
        case "half": self = .float16
        case "float": self = .float32
        case "fp8": self = .float8E4M3
        case let other: self.init(rawValue: other)
        }
    }
}

/// How answers are drawn.
struct SamplingOptions: ParsableArguments {
    @Option(help: "Draws the same answer again; random by default.")
    var seed: UInt64?

    @Option(parsing: .unconditional, help: "0 always takes the likeliest token; higher is more varied.")
    var temperature: Float = 0.7

    @Option(parsing: .unconditional, help: "Keeps the likeliest tokens whose probabilities reach this sum.")
    var topP: Float = 0.9

    @Option(parsing: .unconditional, help: "Keeps this many of the likeliest tokens; 0 keeps all.")
    var topK = 0

    @Option(parsing: .unconditional, help: "Keeps tokens at least this fraction as likely as the likeliest.")
    var minP: Float = 0

    @Option(parsing: .unconditional, help: "Ends the answer after this many tokens.")
    var maxTokens: Int?

    @Flag(name: .customLong("ignore-eos"), help: "Goes on where the model would end its answer.")
    var ignoreEOS = false

    var parameters: SamplingParameters {
        var parameters = SamplingParameters()
        parameters.seed = seed
        parameters.temperature = temperature
        parameters.topP = topP
        parameters.topK = topK
        parameters.minP = minP
        parameters.maxTokens = maxTokens
        parameters.ignoresEndTokens = ignoreEOS
        return parameters
    }
}
