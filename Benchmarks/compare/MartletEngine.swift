// SPDX-License-Identifier: Apache-2.0

import Martlet

/// Martlet itself, in this process.
struct MartletEngine: Contender {
    static let name = "Martlet"
    var name: String { Self.name }
    let engine: Engine

    func run(_ workload: Workload, prompts: [[Int32]]) async throws -> Double? {
        let engine = engine
        return try await rate(of: workload, prompts: prompts) { prompt, tokens in
            var sampling = SamplingParameters.greedy
            sampling.maxTokens = tokens
            sampling.ignoresEndTokens = true
            let clock = ContinuousClock()
            let start = clock.now
            let stream = try engine.generate(GenerationRequest(promptTokens: prompt, sampling: sampling))
            var result = AnswerTimes()
            for try await piece in stream { result.times += piece.times.map { ($0 - start) / .seconds(1) } }
            result.tokens = result.times.count
            return result
        }
    }
}
