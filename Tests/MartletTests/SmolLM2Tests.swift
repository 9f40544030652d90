// SPDX-License-Identifier: Apache-2.0

import Foundation
import Martlet
import MartletText
import Testing

/// The real model against llama.cpp on the same file. `make test` fetches it first.
@Suite(.serialized) struct SmolLM2Tests {
    private static let model = Task {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let path = root.appending(path: "Models/SmolLM2-135M-Instruct.Q4_1.gguf").path
        guard FileManager.default.fileExists(atPath: path) else {
            throw EngineError(.invalidOptions, "\(path) is missing: run `make model`")
        }
        return try await Engine.load(path)
    }

    private func references(_ name: String) throws -> [GreedyReference] {
        let url = try #require(Bundle.module.url(forResource: "Fixtures/\(name)", withExtension: nil))
        return try JSONDecoder().decode([GreedyReference].self, from: Data(contentsOf: url))
    }

    @Test func tokenIDsAreLlamaCppsAndDecodeToTheText() async throws {
        let engine = try await Self.model.value
        let url = try #require(Bundle.module.url(forResource: "Fixtures/tokens.json", withExtension: nil))
        let references = try JSONDecoder().decode([TokenReference].self, from: Data(contentsOf: url))
        #expect(references.count == 158)
        for reference in references {
            #expect(TextCheck().check(reference, on: engine), "\(reference.text.debugDescription)")
        }
    }

    /// llama.cpp on the same weights as F32: nothing but our own rounding differs.
    @Test func logprobsAreThoseOfTheExactWeights() async throws {
        let engine = try await Self.model.value
        var (sum, steps) = (0.0, 0)
        for reference in try references("greedy_float32.json") {
            let outcome = try await TextCheck().check(reference, on: engine)
            sum += outcome.meanDifference * Double(outcome.steps)
            steps += outcome.steps
            #expect(outcome.promptIDsMatch && outcome.wrongTopTokens.isEmpty, "\(reference.prompt)")
            #expect(outcome.largestDifference < 0.06, "\(reference.prompt)")
        }
        #expect(steps == 711)
        #expect(sum / Double(steps) < 0.006)
    }

    /// llama.cpp on the Q4_1 file rounds activations to 8 bits; its own distance from F32 weights is 0.030.
    @Test func logprobsAreAsCloseToLlamaCppAsItsRoundingAllows() async throws {
        let engine = try await Self.model.value
        var (sum, steps) = (0.0, 0)
        for reference in try references("greedy.json") {
            let outcome = try await TextCheck().check(reference, on: engine)
            sum += outcome.meanDifference * Double(outcome.steps)
            steps += outcome.steps
            #expect(outcome.promptIDsMatch, "\(reference.prompt)")
        }
        #expect(sum / Double(steps) < 0.033)
    }

    /// llama.cpp: 15.9289 on the Q4_1 file, 15.9143 on the same weights as F32.
    @Test func perplexityIsLlamaCpps() async throws {
        let engine = try await Self.model.value
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let text = try String(contentsOf: root.appending(path: "LICENSE"), encoding: .utf8)
        let result = try await Perplexity(contextLength: 512).evaluate(text, on: engine)
        #expect(result.windows == 4 && result.scoredTokens == 1020)
        #expect(abs(result.perplexity / 15.9289 - 1) < 0.005)
    }

    @Test func answersAQuestion() async throws {
        let engine = try await Self.model.value
        var sampling = SamplingParameters.greedy
        sampling.maxTokens = 16
        var text = ""
        for try await piece in try engine.generate([.user("What is the capital of France?")], sampling: sampling) {
            text += piece.text
        }
        #expect(text.contains("Paris"))
    }
}
