// SPDX-License-Identifier: Apache-2.0

import MartletCompute

/// A request whose every number is in range. Nothing behind the validator checks again.
package final class ValidatedRequest: Sendable {
    package let promptTokens: [Int32]
    package let sampleCount: Int
    package let priority: Int
    /// Empty for none.
    package let cacheSalt: String
    package let maxTokens: Int
    package let minTokens: Int
    /// Tokens that end the answer.
    package let stopTokens: Set<Int32>
    /// The stop tokens that a stop string spells, each with that string.
    let spelledStops: [Int32: String]
    /// Tokens that can't be drawn before there are `minTokens`.
    let earlyTokens: Set<Int32>
    let stopStrings: [[UInt8]]
    let includesStopString: Bool
    /// Positions of the prompt whose next token is scored.
    package let scoredPositions: Range<Int>
    /// Likeliest tokens reported with each token of the answer, and of the prompt.
    let answerLogprobs: Int
    let promptLogprobs: Int
    let biases: [TokenBias]
    let badWords: [[Int32]]
    /// A bit a token; nil allows all.
    let allowedTokens: [UInt64]?
    private let row: SamplingRow

    /// A parameter for each thing that the validator has found out.
    init(
        _ request: GenerationRequest, maxTokens: Int, stopTokens: Set<Int32>, spelledStops: [Int32: String],
        earlyTokens: Set<Int32>,
        scoredPositions: Range<Int>, allowedTokens: [UInt64]?, row: SamplingRow
    ) {
        let sampling = request.sampling
        promptTokens = request.promptTokens
        sampleCount = sampling.n
        priority = request.priority
        cacheSalt = request.cacheSalt ?? ""
        self.maxTokens = maxTokens
        minTokens = sampling.minTokens
        self.stopTokens = stopTokens
        self.spelledStops = spelledStops
        self.earlyTokens = earlyTokens
        stopStrings = sampling.stop.map { Array($0.utf8) }
        includesStopString = sampling.includesStopString
        self.scoredPositions = scoredPositions
        answerLogprobs = sampling.logprobs ?? 0
        promptLogprobs = sampling.promptLogprobs ?? 0
        biases = sampling.logitBias.map { TokenBias(token: $0.key, bias: min(100, max(-100, $0.value))) }
            .sorted { $0.token < $1.token }
        badWords = sampling.badWords
        self.allowedTokens = allowedTokens
        self.row = row
    }

    var hasPenalties: Bool { row.repetitionPenalty != 1 || row.presencePenalty != 0 || row.frequencyPenalty != 0 }

    /// Whether logits are changed before tokens are drawn.
    var hasLogitEdits: Bool {
        hasPenalties || !biases.isEmpty || !badWords.isEmpty || allowedTokens != nil
            || !earlyTokens.isEmpty
    }

    /// How the token at a position is drawn.
    func samplingRow(sample: Int, position: Int) -> SamplingRow {
        var row = row
        row.key.sampleIndex = UInt32(truncatingIfNeeded: sample)
        row.key.position = UInt32(truncatingIfNeeded: position)
        row.topLogprobs = Int32(answerLogprobs)
        return row
    }

    /// How the prompt's token at a position is scored.
    func scoringRow(position: Int) -> SamplingRow {
        var row = SamplingRow(temperature: 0, target: promptTokens[position])
        row.topLogprobs = Int32(promptLogprobs)
        return row
    }
}
