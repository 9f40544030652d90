// SPDX-License-Identifier: Apache-2.0

/// How an answer is drawn, when it ends, and what is reported of it. Names, meanings and defaults are vLLM's, but for
/// `maxTokens`, which bounds nothing by default.
public struct SamplingParameters: Equatable, Sendable {
    /// Answers to draw to one prompt, whose cache they share.
    public var n = 1
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

    /// Divides the logits of tokens that prompt or answer hold (multiplies negative ones); above 1 discourages.
    public var repetitionPenalty: Float = 1
    /// Taken from the logits of tokens that the answer holds; in [-2, 2].
    public var presencePenalty: Float = 0
    /// Taken once for each time that the answer holds the token; in [-2, 2].
    public var frequencyPenalty: Float = 0
    /// Added to tokens' logits; each is brought into [-100, 100].
    public var logitBias: [Int32: Float] = [:]
    /// Draws from these tokens only; nil from all.
    public var allowedTokenIDs: [Int32]?
    /// Texts that the answer must not hold, each as its tokens; `Tokenizer.badWordTokens` spells words.
    public var badWords: [[Int32]] = []

    /// nil for as many as the context holds; 0, with `promptLogprobs`, only scores the prompt.
    public var maxTokens: Int?
    /// Nothing ends the answer before it has more tokens than this, but `maxTokens`. A stop string that is completed
    /// sooner is passed over.
    public var minTokens = 0
    /// Texts that end the answer, which doesn't hold them.
    public var stop: [String] = []
    /// Tokens that end the answer, beside the model's own.
    public var stopTokenIDs: [Int32] = []
    /// Keeps the stop string that ended the answer in its text.
    public var includesStopString = false
    /// Goes on past the model's end-of-answer tokens.
    public var ignoresEndTokens = false

    /// Likeliest tokens reported with each token of the answer; nil reports the token's own logprob only.
    public var logprobs: Int?
    /// Reports the logprobs of the prompt's tokens, each with this many of the likeliest; nil for none. The prompt is
    /// computed anew then, cached or not.
    public var promptLogprobs: Int?

    /// The defaults.
    public init() {}

    /// Always the likeliest token.
    public static var greedy: SamplingParameters {
        var parameters = SamplingParameters()
        parameters.temperature = 0
        return parameters
    }
}

/// What a user asks for, before anything of it is believed.
public struct GenerationRequest: Equatable, Sendable {
    /// The prompt, as it is computed.
    public var promptTokens: [Int32]
    /// How its answers are drawn.
    public var sampling: SamplingParameters
    /// Under the priority policy the lowest number comes first.
    public var priority = 0
    /// Prompts share cached beginnings only with those of the same salt: a client that doesn't know it can't tell by the time
    /// that an answer takes whether a prompt was asked before.
    public var cacheSalt: String?

    /// A request of the default priority.
    public init(promptTokens: [Int32], sampling: SamplingParameters = SamplingParameters()) {
        self.promptTokens = promptTokens
        self.sampling = sampling
    }
}
