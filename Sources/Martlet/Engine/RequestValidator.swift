// SPDX-License-Identifier: Apache-2.0

import MartletCompute

/// What requests are measured against.
struct RequestLimits: Sendable {
    /// Tokens of prompt and answer together.
    let maxModelLength: Int
    let vocabularySize: Int
}

/// A request whose every number is in range. Nothing behind the validator checks again.
struct ValidatedRequest: Sendable {
    let promptTokens: [Int32]
    let maxTokens: Int
    let ignoresEndTokens: Bool
    private let row: SamplingRow

    fileprivate init(promptTokens: [Int32], maxTokens: Int, ignoresEndTokens: Bool, row: SamplingRow) {
        self.promptTokens = promptTokens
        self.maxTokens = maxTokens
        self.ignoresEndTokens = ignoresEndTokens
        self.row = row
    }

    /// The parameters for drawing the token of a position.
    func samplingRow(position: Int) -> SamplingRow {
        var row = row
        row.key.position = UInt32(truncatingIfNeeded: position)
        return row
    }
}

struct RequestValidator: Sendable {
    let limits: RequestLimits

    func validate(_ request: GenerationRequest) throws(EngineError) -> ValidatedRequest {
        let sampling = request.sampling
        func require(_ condition: Bool, _ field: String, _ message: String) throws(EngineError) {
            guard condition else { throw EngineError(.invalidRequest, "\(field) \(message)", field: field) }
        }
        try validate(tokens: request.promptTokens)
        try require((0...100).contains(sampling.temperature), "temperature", "must be between 0 and 100")
        try require(sampling.topP > 0 && sampling.topP <= 1, "top_p", "must be above 0 and at most 1")
        try require(
            sampling.topK >= -1 && sampling.topK <= Int(Int32.max), "top_k", "must be -1 (all), 0 (all) or positive")
        try require((0...1).contains(sampling.minP), "min_p", "must be between 0 and 1")
        let room = limits.maxModelLength - request.promptTokens.count
        if let maxTokens = sampling.maxTokens { try require(maxTokens >= 1, "max_tokens", "must be at least 1") }
        let row = SamplingRow(
            // Below this the division would overflow; vLLM calls it greedy too.
            temperature: sampling.temperature < 1e-5 ? 0 : sampling.temperature,
            topK: Int32(max(0, min(sampling.topK, limits.vocabularySize))), topP: sampling.topP, minP: sampling.minP,
            key: DrawKey(seed: sampling.seed ?? UInt64.random(in: 0...UInt64.max)))
        return ValidatedRequest(
            promptTokens: request.promptTokens, maxTokens: min(sampling.maxTokens ?? room, room),
            ignoresEndTokens: sampling.ignoresEndTokens, row: row)
    }

    /// A prompt must leave room for one token at least.
    func validate(tokens: [Int32]) throws(EngineError) {
        guard !tokens.isEmpty else { throw EngineError(.invalidRequest, "the prompt is empty", field: "prompt") }
        guard tokens.count < limits.maxModelLength else {
            throw EngineError(
                .contextExceeded,
                "the prompt has \(tokens.count) tokens; the context holds \(limits.maxModelLength), the answer included",
                field: "prompt")
        }
        guard tokens.allSatisfy({ $0 >= 0 && Int($0) < limits.vocabularySize }) else {
            throw EngineError(.invalidRequest, "the prompt holds ids outside of the vocabulary", field: "prompt")
        }
    }
}
