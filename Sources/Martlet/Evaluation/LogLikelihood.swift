// SPDX-License-Identifier: Apache-2.0

/// How likely a model finds a text behind another, as lm_eval asks it.
package struct LogLikelihood: Equatable, Sendable {
    /// Natural logarithm of the probability of all its tokens.
    package var logprob: Double
    /// Whether the model would write this text if it took the likeliest token at each position.
    package var isGreedy: Bool

    /// - Parameters:
    ///   - context: must not be empty; blanks at its end count for the continuation's, as lm_eval has it.
    ///   - continuation: what is judged.
    package static func of(
        _ continuation: String, behind context: String, on engine: Engine
    ) async throws -> LogLikelihood {
        var scalars = context.unicodeScalars[...]
        while let last = scalars.last, last.properties.isWhitespace { scalars.removeLast() }
        let kept = String(scalars)
        let tokenizer = engine.model.tokenizer
        let all = tokenizer.encode(context + continuation)
        let first = tokenizer.encode(kept).count
        guard first > 0, first < all.count else {
            throw EngineError(.invalidRequest, "context and continuation must both have tokens", field: "prompt")
        }
        let scores = try await engine.score(all, from: first - 1)
        return LogLikelihood(
            logprob: scores.reduce(0) { $0 + Double($1.logprob) },
            isGreedy: zip(all[first...], scores).allSatisfy { $0 == $1.likeliest })
    }
}
