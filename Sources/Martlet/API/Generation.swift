// SPDX-License-Identifier: Apache-2.0

public import MartletCompute

/// A piece of an answer, as soon as it is certain.
public struct GenerationPiece: Equatable, Sendable {
    /// Which of the request's samples it belongs to.
    public var sample = 0
    /// Whole characters; may be empty while one is incomplete, or while the text may become a stop string.
    public var text = ""
    /// Its tokens.
    public var tokens: [Int32] = []
    /// Natural logarithms, one a token.
    public var logprobs: [Float] = []
    /// The likeliest tokens at each token's position, likeliest first, as many as the request asked for. The token itself
    /// need not be among them.
    public var topLogprobs: [[TokenLogprob]] = []
    /// When each token was computed.
    public var times: [ContinuousClock.Instant] = []
    /// The prompt's next scores, if it asked for them: the first is the second token's.
    public var promptScores: [TokenScore] = []
    /// On a sample's last piece only.
    public var summary: GenerationSummary?
}

/// How an answer ended, and what it took.
public struct GenerationSummary: Equatable, Sendable {
    /// Why an answer ended.
    public enum FinishReason: String, Sendable {
        /// The model ended its answer, or a stop string or token did.
        case stop
        /// `maxTokens` or the end of the context.
        case length
        /// `GenerationStream.cancel()`.
        case cancelled
    }

    /// What ended an answer before the model did.
    public enum StopReason: Equatable, Sendable {
        case string(String)
        case token(Int32)
    }

    /// Why it ended.
    public var finishReason: FinishReason
    /// The stop string or token that ended it; nil where something else did.
    public var stopReason: StopReason?
    /// Tokens of the prompt.
    public var promptTokens: Int
    /// Those of them that were found in the prefix cache.
    public var cachedTokens: Int
    /// Tokens of the answer.
    public var completionTokens: Int
    /// From the request to the first step that computed of it.
    public var queueSeconds: Double
    /// From the request to its first token.
    public var promptSeconds: Double
    /// From the first token to the last.
    public var generationSeconds: Double

    /// The prompt's tokens over the time to the first token.
    public var promptTokensPerSecond: Double { promptSeconds > 0 ? Double(promptTokens) / promptSeconds : 0 }
    /// Counts the tokens after the first, which the prompt's last step yields.
    public var generationTokensPerSecond: Double {
        generationSeconds > 0 ? Double(completionTokens - 1) / generationSeconds : 0
    }
}

/// What the model thinks of a given token.
public struct TokenScore: Equatable, Sendable {
    /// The token's natural log-probability after everything before it.
    public var logprob: Float
    /// The token that the model finds likeliest there.
    public var likeliest: Int32
    /// The likeliest tokens, likeliest first, as many as were asked for.
    public var topLogprobs: [TokenLogprob] = []

    package init(logprob: Float, likeliest: Int32, topLogprobs: [TokenLogprob] = []) {
        self.logprob = logprob
        self.likeliest = likeliest
        self.topLogprobs = topLogprobs
    }
}

/// A whole answer.
public struct GeneratedAnswer: Equatable, Sendable {
    /// All its text.
    public var text = ""
    /// All its tokens.
    public var tokens: [Int32] = []
    /// Their natural logarithms.
    public var logprobs: [Float] = []
    /// The likeliest tokens at each position, as many as the request asked for.
    public var topLogprobs: [[TokenLogprob]] = []
    /// The prompt's scores, if its logprobs were asked for: the first is the second token's. Only the first sample has
    /// them.
    public var promptScores: [TokenScore] = []
    /// How it ended; nil while pieces are missing.
    public var summary: GenerationSummary?

    /// An answer without pieces.
    public init() {}

    /// Adds a piece of the same sample.
    public mutating func append(_ piece: GenerationPiece) {
        text += piece.text
        tokens += piece.tokens
        logprobs += piece.logprobs
        topLogprobs += piece.topLogprobs
        promptScores += piece.promptScores
        if let summary = piece.summary { self.summary = summary }
    }
}
