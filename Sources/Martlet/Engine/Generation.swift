// SPDX-License-Identifier: Apache-2.0

/// A piece of an answer, as soon as it is certain.
public struct GenerationPiece: Equatable, Sendable {
    /// Whole characters; may be empty while one is incomplete.
    public var text: String
    public var tokens: [Int32]
    /// Natural logarithms, one a token.
    public var logprobs: [Float]
    /// On the last piece only.
    public var summary: GenerationSummary?
}

/// How an answer ended, and what it took.
public struct GenerationSummary: Equatable, Sendable {
    public enum FinishReason: String, Sendable {
        /// The model ended its answer.
        case stop
        /// `maxTokens` or the end of the context.
        case length
    }

    public var finishReason: FinishReason
    public var promptTokens: Int
    public var completionTokens: Int
    /// From the request's start to its first token.
    public var promptSeconds: Double
    /// From the first token to the last.
    public var generationSeconds: Double

    public var promptTokensPerSecond: Double { promptSeconds > 0 ? Double(promptTokens) / promptSeconds : 0 }
    /// Of the tokens after the first, which the prompt's last step yields.
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
}

/// An answer as it is generated.
public typealias GenerationStream = AsyncThrowingStream<GenerationPiece, any Error>
