// SPDX-License-Identifier: Apache-2.0

/// How an answer is drawn. The defaults are vLLM's.
public struct SamplingParameters: Equatable, Sendable {
    /// 0 is greedy.
    public var temperature: Float = 1
    /// Keeps the likeliest tokens whose probabilities reach this sum; in (0, 1].
    public var topP: Float = 1
    /// Keeps this many; 0 or -1 keeps all.
    public var topK: Int = 0
    /// Keeps what is at least this fraction of the likeliest; in [0, 1].
    public var minP: Float = 0
    /// The same seed gives the same answer; nil draws one.
    public var seed: UInt64?
    /// nil for as many as the context holds.
    public var maxTokens: Int?
    /// Goes on past the model's end-of-answer tokens.
    public var ignoresEndTokens = false

    public init() {}

    public static var greedy: SamplingParameters {
        var parameters = SamplingParameters()
        parameters.temperature = 0
        return parameters
    }
}

/// What a user asks for, before anything of it is believed.
public struct GenerationRequest: Equatable, Sendable {
    public var promptTokens: [Int32]
    public var sampling: SamplingParameters

    public init(promptTokens: [Int32], sampling: SamplingParameters = SamplingParameters()) {
        self.promptTokens = promptTokens
        self.sampling = sampling
    }
}
