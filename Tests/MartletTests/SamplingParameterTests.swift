// SPDX-License-Identifier: Apache-2.0

import Martlet
import MartletCompute
import MartletTestSupport
import Testing

/// Every parameter of a request, through the whole engine.
@Suite struct SamplingParameterTests {
    private let engine: Engine
    private let file: TemporaryFile

    init() async throws {
        var options = EngineOptions()
        options.threads = 1
        file = try TinyModel().write()
        engine = try await Engine.load(file.path, options: options)
    }

    private func answer(
        _ answer: Int = 30, seed: UInt64 = 1, _ change: (inout SamplingParameters) -> Void = { _ in }
    ) async throws -> GeneratedAnswer {
        try await engine.generate(.random(12, seed: seed, answer: answer, change)).answers()[0]
    }

    @Test func stopTokensEndTheAnswer() async throws {
        let free = try await answer()
        let stop = free.tokens[10]
        let first = try #require(free.tokens.firstIndex(of: stop))
        let stopped = try await answer { $0.stopTokenIDs = [stop] }
        #expect(stopped.tokens == Array(free.tokens[...first]))
        #expect(stopped.summary?.finishReason == .stop && stopped.summary?.stopReason == .token(stop))
        #expect(free.text.hasPrefix(stopped.text))
        // Not before the minimum of tokens, and then by another one.
        let later = try await answer {
            $0.stopTokenIDs = [stop]
            $0.minTokens = first + 2
        }
        #expect(later.tokens.prefix(first) == free.tokens.prefix(first))
        #expect(!later.tokens.prefix(first + 2).contains(stop))
    }

    @Test func stopStringsEndTheAnswerAndItsText() async throws {
        let free = try await answer()
        let characters = Array(free.text)
        let stop = String(characters[8..<11])
        let start = try #require(free.text.range(of: stop)).lowerBound
        for includes in [false, true] {
            let stopped = try await answer {
                $0.stop = ["never in there", stop]
                $0.includesStopString = includes
            }
            #expect(stopped.text == String(free.text[..<start]) + (includes ? stop : ""))
            #expect(stopped.summary?.finishReason == .stop && stopped.summary?.stopReason == .string(stop))
            #expect(stopped.tokens == Array(free.tokens.prefix(stopped.tokens.count)))
            #expect(stopped.tokens.count < 30)
        }
        let late = try await answer {
            $0.stop = [stop]
            $0.minTokens = 25
        }
        #expect(late.tokens.count >= 25 && late.text.hasPrefix(String(free.text[..<start]) + stop))
        // What is completed behind the minimum counts, wherever it began.
        let count = try await answer { $0.stop = [stop] }.tokens.count
        for minimum in 1..<count {
            let answer = try await answer {
                $0.stop = [stop]
                $0.minTokens = minimum
            }
            #expect(answer.tokens.count == count && answer.text == String(free.text[..<start]))
        }
    }

    @Test func theModelsEndTokensEndTheAnswer() async throws {
        let end = try #require(engine.model.tokenizer.endTokens.first)
        let answer = try await answer {
            $0.ignoresEndTokens = false
            $0.logitBias = [end: 100]
        }
        #expect(answer.tokens == [end] && answer.text.isEmpty)
        #expect(answer.summary?.finishReason == .stop && answer.summary?.stopReason == nil)
        let longer = try await self.answer {
            $0.ignoresEndTokens = false
            $0.logitBias = [end: 100]
            $0.minTokens = 5
        }
        #expect(longer.tokens.count == 6 && !longer.tokens.dropLast().contains(end))
    }

    @Test func allowedTokensAndBiasesRule() async throws {
        let allowed: [Int32] = [3, 64, 65, 200]
        let answer = try await answer {
            $0.allowedTokenIDs = allowed
            $0.temperature = 50
            $0.seed = 1
        }
        #expect(Set(answer.tokens).isSubset(of: allowed) && Set(answer.tokens).count > 1)
        let biased = try await self.answer { $0.logitBias = [77: 100] }
        #expect(Set(biased.tokens) == [77])
        // Reported logprobs are the model's own, biased or not.
        #expect(biased.logprobs[0] < -1)
    }

    @Test func badWordsNeverAppear() async throws {
        let free = try await answer(60).tokens
        // A token that comes late, and a pair that does.
        let single = try #require(free.indices.last { free.firstIndex(of: free[$0]) == $0 })
        let answer = try await answer(60) { $0.badWords = [[free[single]]] }.tokens
        #expect(answer.prefix(single) == free.prefix(single) && !answer.contains(free[single]))
        let pair = Array(free[single - 1...single])
        let other = try await self.answer(60) { $0.badWords = [pair, Array(pair.reversed()) + [1]] }.tokens
        #expect(other.prefix(single) == free.prefix(single) && other[single] != free[single])
        #expect(!zip(other, other.dropFirst()).contains { [$0, $1] == pair })
    }

    /// Each greedy token is the best of the likeliest, less the penalties for what the answer holds.
    @Test func penaltiesLowerWhatTheAnswerHolds() async throws {
        var changed = 0
        for seed in 0..<6 as Range<UInt64> {
            let answer = try await answer(40, seed: seed) {
                ($0.presencePenalty, $0.frequencyPenalty, $0.logprobs) = (1.5, 0.7, 20)
            }
            for (index, top) in answer.topLogprobs.enumerated() {
                func adjusted(_ entry: TokenLogprob) -> Float {
                    let count = answer.tokens[..<index].count { $0 == entry.token }
                    return entry.logprob - (count > 0 ? 1.5 + 0.7 * Float(count) : 0)
                }
                let best = try #require(top.max { adjusted($0) < adjusted($1) })
                // Unless something behind the twenty could have come up.
                guard let last = top.last, adjusted(best) > last.logprob else { continue }
                #expect(answer.tokens[index] == best.token)
                if best.token != top[0].token { changed += 1 }
            }
        }
        #expect(changed > 0)
        let free = Set(try await answer(60).tokens).count
        #expect(try await Set(answer(60) { $0.repetitionPenalty = 2 }.tokens).count > free)
    }

    /// The sample that a stop string ends takes nothing from the others.
    @Test func samplesEndOneByOne() async throws {
        let request = GenerationRequest.random(12, answer: 40) { ($0.n, $0.temperature, $0.seed) = (4, 6, 3) }
        let free = try await engine.generate(request).answers()
        let stop = String(free[1].text.dropFirst(5).prefix(3))
        var stopping = request
        stopping.sampling.stop = [stop]
        for _ in 0..<20 {
            let answers = try await engine.generate(stopping).answers()
            for (answer, free) in zip(answers, free) {
                let end = free.text.range(of: stop)?.lowerBound ?? free.text.endIndex
                #expect(answer.text == String(free.text[..<end]))
                #expect(answer.summary?.finishReason == (end == free.text.endIndex ? .length : .stop))
            }
        }
    }

    @Test func logprobsOfTheLikeliest() async throws {
        let answer = try await answer { $0.logprobs = 4 }
        #expect(answer.topLogprobs.count == 30)
        for (token, (logprob, top)) in zip(answer.tokens, zip(answer.logprobs, answer.topLogprobs)) {
            // Greedy: the token is the likeliest, with the very same number.
            #expect(top.count == 4 && top[0] == TokenLogprob(token: token, logprob: logprob))
            #expect(zip(top, top.dropFirst()).allSatisfy { $0.logprob >= $1.logprob })
        }
    }

    @Test func logprobsOfThePrompt() async throws {
        var request = GenerationRequest.random(40, answer: 3)
        request.sampling.promptLogprobs = 2
        var scores: [TokenScore] = []
        var tokens = 0
        for try await piece in try engine.generate(request) {
            scores += piece.promptScores
            tokens += piece.tokens.count
        }
        #expect(scores.count == 39 && tokens == 3)
        let plain = try await engine.score(request.promptTokens)
        #expect(scores.map(\.logprob) == plain.map(\.logprob) && scores.map(\.likeliest) == plain.map(\.likeliest))
        for score in scores { #expect(score.topLogprobs.count == 2 && score.topLogprobs[0].token == score.likeliest) }
        #expect(try await engine.generate(request).answers()[0].promptScores == scores)
        // Only the prompt.
        request.sampling.maxTokens = 0
        let answer = try await engine.generate(request).answers()[0]
        #expect(answer.tokens.isEmpty && answer.summary?.finishReason == .length)
        // A prompt of one token has nothing to score.
        request.promptTokens = [1]
        #expect(try await engine.generate(request).answers()[0].tokens.isEmpty)
    }

    @Test func theSecondPromptIsFoundInTheCache() async throws {
        let request = GenerationRequest.random(100, seed: 77, answer: 5)
        func cached(_ salt: String?) async throws -> Int? {
            var request = request
            request.cacheSalt = salt
            return try await engine.generate(request).answers()[0].summary?.cachedTokens
        }
        #expect(try await cached(nil) == 0)
        #expect(try await cached(nil) == 96)
        #expect(try await cached("a") == 0)
        #expect(try await cached("b") == 0)
        #expect(try await cached("a") == 96)
        // Of the request, whatever its samples share among themselves.
        var samples = request
        samples.sampling.n = 3
        #expect(try await engine.generate(samples).answers().map(\.summary?.cachedTokens) == [96, 96, 96])
    }

    @Test func badWordsAreSpelledAsVLLMDoes() {
        let tokenizer = engine.model.tokenizer
        #expect(tokenizer.badWordTokens(["", "  ", "\n"]).isEmpty)
        // "hello" is one token here, " hello" is two; "the" and " the" are one each.
        #expect(tokenizer.badWordTokens(["hello"]) == [tokenizer.encode("hello")])
        #expect(tokenizer.badWordTokens([" the"]) == [tokenizer.encode("the"), tokenizer.encode(" the")])
    }

    @Test func conversationsNeedAMessage() {
        #expect(throws: EngineError.self) { try engine.generate([]) }
    }

    @Test func nothingLeftToChooseFailsTheRequestAlone() async throws {
        let error = await #expect(throws: EngineError.self) {
            _ = try await self.answer {
                $0.allowedTokenIDs = [5]
                $0.badWords = [[5]]
            }
        }
        #expect(error?.code == .invalidRequest)
        #expect(try await answer(3).tokens.count == 3)
    }

    @Test func parametersOutOfRangeAreRefused() {
        func refused(_ field: String, _ change: (inout SamplingParameters) -> Void) {
            let error = #expect(throws: EngineError.self) { try engine.generate(.random(5, answer: 5, change)) }
            #expect(error?.field == field, "\(field)")
        }
        let vocabulary = Int32(engine.model.shape.vocabularySize)
        for value in [0, -1, 129, Int.min, Int.max] { refused("n") { $0.n = value } }
        for value in [0, -1, 1001, .nan, .infinity] as [Float] {
            refused("repetition_penalty") { $0.repetitionPenalty = value }
        }
        for value in [-2.1, 2.1, .nan, 1e9] as [Float] {
            refused("presence_penalty") { $0.presencePenalty = value }
            refused("frequency_penalty") { $0.frequencyPenalty = value }
        }
        for value in [.nan, .infinity, -.infinity] as [Float] {
            refused("logit_bias") { $0.logitBias = [1: value] }
        }
        for token in [-1, vocabulary, Int32.max] {
            refused("logit_bias") { $0.logitBias = [token: 1] }
            refused("stop_token_ids") { $0.stopTokenIDs = [token] }
            refused("allowed_token_ids") { $0.allowedTokenIDs = [token] }
            refused("bad_words") { $0.badWords = [[token]] }
        }
        refused("allowed_token_ids") { $0.allowedTokenIDs = [] }
        refused("bad_words") { $0.badWords = [[]] }
        refused("n") { ($0.n, $0.maxTokens, $0.promptLogprobs) = (2, 0, 0) }
        refused("bad_words") { $0.badWords = Array(repeating: [1], count: 257) }
        refused("stop") { $0.stop = [""] }
        refused("stop") { $0.stop = Array(repeating: "a", count: 17) }
        refused("stop") { $0.stop = [String(repeating: "a", count: 257)] }
        refused("stop_token_ids") { $0.stopTokenIDs = Array(repeating: 1, count: 129) }
        for value in [-1, 6, Int.max] { refused("min_tokens") { $0.minTokens = value } }
        for value in [-1, 21, Int.max] {
            refused("logprobs") { $0.logprobs = value }
            refused("prompt_logprobs") { $0.promptLogprobs = value }
        }
        refused("allowed_token_ids") {
            ($0.allowedTokenIDs, $0.stopTokenIDs, $0.minTokens) = ([3], [3], 2)
        }
        for salt in ["", String(repeating: "s", count: 300)] {
            var request = GenerationRequest.random(5, answer: 5)
            request.cacheSalt = salt
            #expect(throws: EngineError.self) { try engine.generate(request) }
        }
    }
}
