// SPDX-License-Identifier: Apache-2.0

public import MartletAttention
public import MartletCPU
public import MartletCompute

/// How an engine is set up. Names and meanings are vLLM's where it has them.
public struct EngineOptions: Sendable {
    /// nil for one a processor.
    public var threads: Int?
    /// nil for the best that the machine runs.
    public var instructionSet: InstructionSet?
    /// How finely activations are quantised before they meet quantised weights.
    public var activations = ActivationPrecision.int16
    /// Tokens of prompt and answer together; nil for what the model was trained for.
    public var maxModelLength: Int?
    /// Tokens computed in one step; longer prompts are read in chunks of this.
    public var maxNumBatchedTokens = 512
    /// Tokens in a block of the KV cache, a multiple of 16.
    public var blockSize = 16
    /// What the KV cache keeps.
    public var kvCacheDtype = FloatFormat.bfloat16
    /// Whether decodes get an attention kernel of their own.
    public var attentionLaunch = AttentionLaunch.auto

    public init() {}
}
