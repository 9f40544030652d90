// SPDX-License-Identifier: Apache-2.0

import Glibc

/// Holds an engine against another one's answers and ids.
package struct TextCheck: Sendable {
    /// Largest mean |difference| of logprobs over all steps, in nats.
    package let meanTolerance: Double

    /// Where the reference's best two are closer than this, either is right.
    ///
    /// A margin is the difference of two logprobs. With normal errors of the mean size that is allowed its standard
    /// deviation is √(π/2)·√2 = 1.8 of that size; 8 are 4.5 deviations, which rounding exceeds in one step of 150,000.
    package var nearTie: Double { 8 * meanTolerance }

    /// - Parameter meanTolerance: by default that of two engines which both round activations to 8 bits: each is 0.032
    ///   from the exact weights, independently.
    package init(meanTolerance: Double = 0.045) { self.meanTolerance = meanTolerance }

    /// One prompt's outcome.
    package struct GreedyOutcome: Sendable {
        package let prompt: String
        package let steps: Int
        /// Over the steps, teacher-forced on the reference's ids.
        package let meanDifference: Double
        package let largestDifference: Double
        /// Steps, not near ties, at which another token was likeliest.
        package let wrongTopTokens: [Int]
        /// Steps that are near ties.
        package let nearTies: Int
        /// First step at which the free-running answer differs.
        package let divergence: Int?
        /// Whether it differs where it mustn't.
        package let divergedWrongly: Bool
        package let promptIDsMatch: Bool

        package var passes: Bool { wrongTopTokens.isEmpty && !divergedWrongly && promptIDsMatch }
    }

    package func check(_ reference: GreedyReference, on engine: Engine) async throws -> GreedyOutcome {
        let steps = reference.ids.count
        let scores = try await engine.score(
            reference.promptIDs + reference.ids, from: reference.promptIDs.count - 1)
        let differences = zip(scores, reference.logprobs).map { abs(Double($0.logprob) - $1) }
        let ties = Set((0..<steps).filter { reference.margin($0) < nearTie })
        let wrong = (0..<steps).filter { step in
            !ties.contains(step) && scores[step].likeliest != reference.top5[step][0].token
        }
        var sampling = SamplingParameters.greedy
        sampling.maxTokens = steps
        sampling.ignoresEndTokens = true
        var answer: [Int32] = []
        for try await piece in try engine.generate(
            GenerationRequest(promptTokens: reference.promptIDs, sampling: sampling))
        {
            answer += piece.tokens
        }
        let divergence = zip(answer, reference.ids).enumerated().first { $0.element.0 != $0.element.1 }?.offset
        let encoded = engine.model.tokenizer.encode(reference.prompt, parsingSpecials: true, addingBOS: true)
        return GreedyOutcome(
            prompt: reference.prompt, steps: steps,
            meanDifference: differences.reduce(0, +) / Double(steps),
            largestDifference: differences.max() ?? 0, wrongTopTokens: wrong, nearTies: ties.count,
            divergence: divergence, divergedWrongly: divergence.map { !ties.contains($0) } ?? (answer.count != steps),
            promptIDsMatch: encoded == reference.promptIDs)
    }

    /// The most likeliest tokens of a step that can be asked for.
    package static let comparedLogits = RequestLimits.range(of: \.logprobs).upperBound

    /// The largest error of the logits behind a prompt, as a share of the reference's largest minus its smallest.
    ///
    /// Probabilities don't depend on what all logits have in common, so they are compared as logprobs: the likeliest
    /// `comparedLogits`. The engine must permit as many.
    package func logitError(
        behind prompt: GreedyReference, _ reference: [Float], on engine: Engine
    ) async throws -> Double {
        guard let largest = reference.max(), let smallest = reference.min(), largest > smallest,
            reference.count == engine.model.shape.vocabularySize
        else {
            throw EngineError(
                .invalidRequest,
                "the reference has \(reference.count) logits, all alike or not as many as the model's \(engine.model.shape.vocabularySize)"
            )
        }
        var sampling = SamplingParameters.greedy
        sampling.maxTokens = 1
        sampling.logprobs = min(Self.comparedLogits, reference.count)
        var top: [TokenLogprob] = []
        for try await piece in try engine.generate(
            GenerationRequest(promptTokens: prompt.promptIDs, sampling: sampling))
        {
            top += piece.topLogprobs.joined()
        }
        let sum = reference.reduce(0) { $0 + exp(Double($1) - Double(largest)) }
        let total = Double(largest) + log(sum)
        let worst = top.map { abs(Double($0.logprob) - (Double(reference[Int($0.token)]) - total)) }.max() ?? .infinity
        return worst / Double(largest - smallest)
    }

    /// Mean |difference| over all steps of all prompts.
    package static func meanDifference(of outcomes: [GreedyOutcome]) -> Double {
        let steps = outcomes.reduce(0) { $0 + $1.steps }
        return outcomes.reduce(0) { $0 + $1.meanDifference * Double($1.steps) } / Double(steps)
    }

    /// Whether a text's ids are the reference's both ways, and decode to the text's own bytes.
    package func check(_ reference: TokenReference, on engine: Engine) -> Bool {
        let tokenizer = engine.model.tokenizer
        func decodes(_ ids: [Int32]) -> Bool {
            ids.flatMap { tokenizer.bytes(of: $0, includingSpecials: true) } == Array(reference.text.utf8)
        }
        let special = tokenizer.encode(reference.text, parsingSpecials: true)
        let plain = tokenizer.encode(reference.text)
        return special == reference.special && plain == reference.plain && decodes(special) && decodes(plain)
    }
}
