// SPDX-License-Identifier: Apache-2.0

public import Logging
public import MartletAttention
public import MartletCPU
public import MartletCompute
public import MartletText

/// The kinds of device that compute an engine's steps.
public enum DeviceKind: String, Sendable, CaseIterable {
    /// The fastest that this machine has, which is the CPU.
    case auto
    case cpu
    /// Plain Swift on one thread: what others are held against, some fifty times slower than the CPU.
    case reference
}

/// How an engine is set up. Names and meanings are vLLM's where it has them.
public struct EngineOptions: Sendable {
    /// The device that computes the steps.
    public var device = DeviceKind.auto
    /// nil for one a processor.
    public var threads: Int?
    /// nil for the best that the machine runs.
    public var instructionSet: InstructionSet?
    /// How finely activations are quantised before they meet quantised weights.
    public var activations = ActivationPrecision.int8
    /// Whether decodes get an attention kernel of their own.
    public var attentionLaunch = AttentionLaunch.auto

    /// How steps are run: as one captured graph, as pieces of one, or kernel by kernel.
    public var graphMode = GraphMode.full
    /// Numbers of tokens that steps are captured for; nil for all of them. Larger steps run kernel by kernel.
    public var graphCaptureSizes: [Int]?

    /// Where weights come from.
    public var loadFormat = LoadFormat.auto
    /// What matrices of floats become while they are loaded; nil to keep them.
    public var quantization: WeightQuantization?
    /// Tokens of prompt and answer together; nil for what the model was trained for, or for what the KV cache holds
    /// where that is less.
    public var maxModelLength: Int?
    /// Whether `maxModelLength` may be more than the model was trained for; its answers may make no sense there.
    public var allowsLongMaxModelLength = false
    /// Tokens in a block of the KV cache, a multiple of 16.
    public var blockSize = 16
    /// What the KV cache keeps; nil for what attention multiplies fastest of 16 bits: bf16, or int16 on x86
    /// without fast products of that.
    public var kvCacheDtype: CacheFormat?
    /// Bytes of the KV cache; nil for a quarter of the memory that is free once the model is loaded, and no more than
    /// `maxNumSeqs` sequences can use.
    public var kvCacheMemoryBytes: Int?
    /// Blocks of the KV cache, instead of bytes.
    public var numBlocksOverride: Int?
    /// Whether prompts share the cached beginnings of earlier ones.
    public var enablePrefixCaching = true

    /// Tokens computed in one step; longer prompts are read in chunks of this.
    public var maxNumBatchedTokens = 512
    /// Sequences that are computed at a time; never more than `maxNumBatchedTokens`.
    public var maxNumSeqs = 32
    /// Most tokens of one prompt in a step; 0 for no such bound.
    public var longPrefillTokenThreshold = 0
    /// Whose turn it is.
    public var schedulingPolicy = SchedulingPolicy.fcfs
    /// Part of a step, in (0, 1], that prompts may take while answers are generated. A token counts for more the longer
    /// its context, so that a step's length, which is what readers wait for between two tokens, stays about the same
    /// in a long prompt.
    public var prefillShare = 0.25

    /// A chat template in place of the file's own: Jinja.
    public var chatTemplate: String?
    /// Tokens that end an answer, beside those that the model file names.
    public var endTokens: [Int32] = []
    /// What rendering a conversation may take at most.
    public var templateBudget = TemplateBudget()

    /// Seconds that a step may take before requests are given up.
    public var watchdogSeconds = 120.0
    /// The most that a request may ask for.
    public var limits = RequestLimits()
    /// Where it is said what is done otherwise than asked for.
    public var logger = Logger(label: "martlet")
    /// Where steps and kernels are recorded.
    public var trace: TraceRecorder?

    /// The defaults.
    public init() {}
}
