// SPDX-License-Identifier: Apache-2.0

import MartletCompute
package import MartletText

/// Turns what users ask for into what the engine serves, or says what is wrong with it.
package struct RequestValidator: Sendable {
    package let limits: RequestLimits
    /// Tokens of prompt and answer together.
    package let maxModelLength: Int
    package let vocabularySize: Int
    /// The model's own.
    package let endTokens: Set<Int32>
    /// Tokens that fill a vocabulary up and were never trained: none is drawn.
    private let unusedTokens: Set<Int32>
    /// All tokens but those, a bit each; nil where there are none of those.
    private let drawableTokens: [UInt64]?
    /// nil where there is no text.
    private let tokenizer: Tokenizer?

    package init(limits: RequestLimits, maxModelLength: Int, vocabularySize: Int, endTokens: Set<Int32>) {
        self.limits = limits
        self.maxModelLength = maxModelLength
        self.vocabularySize = vocabularySize
        self.endTokens = endTokens
        tokenizer = nil
        unusedTokens = []
        drawableTokens = nil
    }

    package init(limits: RequestLimits, maxModelLength: Int, vocabularySize: Int, tokenizer: Tokenizer) {
        self.limits = limits
        self.maxModelLength = maxModelLength
        self.vocabularySize = vocabularySize
        self.tokenizer = tokenizer
        endTokens = tokenizer.endTokens
        let unused = tokenizer.vocabulary.kinds.enumerated().lazy.filter { $1 == .unused }.map { Int32($0.offset) }
        unusedTokens = Set(unused)
        let drawable = Self.mask(unused.filter { $0 < vocabularySize }, of: vocabularySize).map(~)
        drawableTokens = unusedTokens.isEmpty ? nil : drawable
    }

    /// - Parameter firstScoredPosition: where scoring begins in prompts whose logprobs are asked for.
    package func validate(
        _ request: GenerationRequest, firstScoredPosition: Int = 0
    ) throws(EngineError) -> ValidatedRequest {
        let sampling = request.sampling
        let scoresOnly = sampling.maxTokens == 0 && sampling.promptLogprobs != nil
        try validate(prompt: request.promptTokens, isAnswered: !scoresOnly)
        try require(
            (1...limits.samples).contains(sampling.n), "n",
            "is \(sampling.n); it must be between 1 and \(limits.samples)")
        try validateDistribution(sampling)
        try validateEdits(sampling)
        try validateReport(request)
        try require(
            !scoresOnly || sampling.n == 1, "n", "is \(sampling.n); it must be 1 where only the prompt is scored")

        if let maxTokens = sampling.maxTokens, !scoresOnly {
            try require(maxTokens >= 1, "max_tokens", "is \(maxTokens); it must be at least 1")
        }
        let room = max(0, maxModelLength - request.promptTokens.count)
        let maxTokens = min(sampling.maxTokens ?? room, room)
        try require(
            sampling.minTokens >= 0 && sampling.minTokens <= maxTokens, "min_tokens",
            "is \(sampling.minTokens); it must be between 0 and \(maxTokens), as many as max_tokens and the context permit"
        )
        let listedStops = try stopTokens(of: sampling)
        let spelledStops = spelledStops(of: sampling)
        let stopTokens = listedStops.union(spelledStops.keys)
        // Until then not even those of the model that the request ignores.
        let earlyTokens = sampling.minTokens > 0 ? stopTokens.union(endTokens) : []
        let allowed = sampling.allowedTokenIDs.map { Set($0).subtracting(unusedTokens) }
        if let allowed {
            let usable = allowed.subtracting(earlyTokens)
            try require(!usable.isEmpty, "allowed_token_ids", "leaves no token that can be drawn")
        }
        return ValidatedRequest(
            request, maxTokens: maxTokens, stopTokens: stopTokens, spelledStops: spelledStops, earlyTokens: earlyTokens,
            scoredPositions: sampling.promptLogprobs == nil
                ? 0..<0 : firstScoredPosition..<max(firstScoredPosition, request.promptTokens.count - 1),
            allowedTokens: allowed.map { Self.mask($0, of: vocabularySize) } ?? drawableTokens, row: row(sampling))
    }

    private func require(_ condition: Bool, _ field: String, _ message: String) throws(EngineError) {
        guard condition else { throw EngineError(.invalidRequest, "\(field) \(message)", field: field) }
    }

    /// A prompt must leave room for one token at least, if it is to be answered.
    private func validate(prompt tokens: [Int32], isAnswered: Bool) throws(EngineError) {
        guard !tokens.isEmpty else { throw EngineError(.invalidRequest, "the prompt is empty", field: "prompt") }
        guard tokens.count + (isAnswered ? 1 : 0) <= maxModelLength else {
            throw EngineError(
                .contextExceeded,
                "the prompt has \(tokens.count) tokens; the context holds \(maxModelLength), the answer included",
                field: "prompt")
        }
        try validate(ids: tokens, "prompt")
    }

    private func validate(ids: some Sequence<Int32>, _ field: String) throws(EngineError) {
        try require(
            ids.allSatisfy { $0 >= 0 && Int($0) < vocabularySize }, field,
            "holds ids outside of the vocabulary (0 to \(vocabularySize - 1))")
    }

    private func validateDistribution(_ sampling: SamplingParameters) throws(EngineError) {
        try require(
            (0...100).contains(sampling.temperature), "temperature",
            "is \(sampling.temperature); it must be between 0 and 100")
        try require(
            sampling.topP > 0 && sampling.topP <= 1, "top_p",
            "is \(sampling.topP); it must be above 0 and at most 1")
        try require(
            sampling.topK >= -1 && sampling.topK <= Int(Int32.max), "top_k",
            "is \(sampling.topK); it must be -1 (all), 0 (all) or at most \(Int32.max)")
        try require((0...1).contains(sampling.minP), "min_p", "is \(sampling.minP); it must be between 0 and 1")
        try require(
            (1e-6...1000).contains(sampling.repetitionPenalty), "repetition_penalty",
            "is \(sampling.repetitionPenalty); it must be between 0.000001 and 1000")
        try require(
            (-2...2).contains(sampling.presencePenalty), "presence_penalty",
            "is \(sampling.presencePenalty); it must be between -2 and 2")
        try require(
            (-2...2).contains(sampling.frequencyPenalty), "frequency_penalty",
            "is \(sampling.frequencyPenalty); it must be between -2 and 2")
    }

    private func validateEdits(_ sampling: SamplingParameters) throws(EngineError) {
        try require(
            sampling.logitBias.count <= limits.logitBiases, "logit_bias",
            "has \(sampling.logitBias.count) tokens; \(limits.logitBiases) are allowed")
        try validate(ids: sampling.logitBias.keys, "logit_bias")
        try require(sampling.logitBias.values.allSatisfy(\.isFinite), "logit_bias", "must hold numbers")
        if let allowed = sampling.allowedTokenIDs {
            try require(
                !allowed.isEmpty && allowed.count <= vocabularySize, "allowed_token_ids",
                "must hold between 1 and \(vocabularySize) tokens")
            try validate(ids: allowed, "allowed_token_ids")
        }
        try require(
            sampling.badWords.count <= limits.badWords
                && sampling.badWords.allSatisfy { !$0.isEmpty && $0.count <= limits.badWordTokens }, "bad_words",
            "must be at most \(limits.badWords) words of 1 to \(limits.badWordTokens) tokens")
        for word in sampling.badWords { try validate(ids: word, "bad_words") }
    }

    private func validateReport(_ request: GenerationRequest) throws(EngineError) {
        for (count, field) in [
            (request.sampling.logprobs, "logprobs"), (request.sampling.promptLogprobs, "prompt_logprobs"),
        ] {
            try require(
                (0...limits.logprobs).contains(count ?? 0), field,
                "is \(count ?? 0); it must be between 0 and \(limits.logprobs)")
        }
        if let count = request.sampling.promptLogprobs {
            // Neither factor is large by now.
            let entries = request.promptTokens.count * (count + 1)
            try require(
                entries <= limits.promptLogprobEntries, "prompt_logprobs",
                "asks for \(entries) logprobs; \(limits.promptLogprobEntries) are allowed")
        }
        try require(
            request.cacheSalt.map { (1...limits.cacheSaltBytes).contains($0.utf8.count) } ?? true, "cache_salt",
            "must be 1 to \(limits.cacheSaltBytes) bytes")
    }

    /// Control tokens that a stop string spells: their text is no part of an answer's, so that the string would never be
    /// found there.
    private func spelledStops(of sampling: SamplingParameters) -> [Int32: String] {
        var spelled: [Int32: String] = [:]
        for stop in sampling.stop {
            guard let tokenizer, let token = tokenizer.specialToken(spelledBy: stop),
                tokenizer.bytes(of: token).isEmpty
            else { continue }
            spelled[token] = stop
        }
        return spelled
    }

    private func stopTokens(of sampling: SamplingParameters) throws(EngineError) -> Set<Int32> {
        try require(
            sampling.stop.count <= limits.stopStrings
                && sampling.stop.allSatisfy { (1...limits.stopStringBytes).contains($0.utf8.count) }, "stop",
            "must be at most \(limits.stopStrings) strings of 1 to \(limits.stopStringBytes) bytes")
        try require(
            sampling.stopTokenIDs.count <= limits.stopTokens, "stop_token_ids",
            "must be at most \(limits.stopTokens) tokens")
        try validate(ids: sampling.stopTokenIDs, "stop_token_ids")
        return Set(sampling.stopTokenIDs).union(sampling.ignoresEndTokens ? [] : endTokens)
    }

    private func row(_ sampling: SamplingParameters) -> SamplingRow {
        var row = SamplingRow(
            // Below this the division would overflow; vLLM calls it greedy too.
            temperature: sampling.temperature < 1e-5 ? 0 : sampling.temperature,
            topK: Int32(max(0, min(sampling.topK, vocabularySize))), topP: sampling.topP,
            minP: sampling.minP,
            key: DrawKey(seed: sampling.seed ?? UInt64.random(in: 0...UInt64.max)))
        row.repetitionPenalty = sampling.repetitionPenalty
        row.presencePenalty = sampling.presencePenalty
        row.frequencyPenalty = sampling.frequencyPenalty
        return row
    }

    /// A bit for each token of the vocabulary.
    private static func mask(_ tokens: some Sequence<Int32>, of vocabularySize: Int) -> [UInt64] {
        var words = [UInt64](repeating: 0, count: (vocabularySize + 63) / 64)
        for token in tokens { words[Int(token) / 64] |= 1 << UInt64(token % 64) }
        return words
    }
}
