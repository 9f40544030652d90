// SPDX-License-Identifier: Apache-2.0

import Foundation

/// Perplexity by llama.cpp's method: windows that don't overlap, each scored from its middle to its end, so that every
/// scored token has at least half a window before it.
package struct Perplexity: Sendable {
    package let contextLength: Int

    /// - Parameter contextLength: tokens in a window, at least 4.
    package init(contextLength: Int) throws(EngineError) {
        guard contextLength >= 4 else {
            throw EngineError(.invalidRequest, "a window needs 4 tokens at least", field: "contextLength")
        }
        self.contextLength = contextLength
    }

    package struct Result: Equatable, Sendable {
        package var perplexity: Double
        /// The perplexity's standard error.
        package var standardError: Double
        package var scoredTokens: Int
        package var windows: Int
    }

    /// - Parameter report: called after each window with what is known so far.
    package func evaluate(
        _ text: String, on engine: Engine, report: (Result) -> Void = { _ in }
    ) async throws -> Result {
        let tokenizer = engine.model.tokenizer
        let tokens = tokenizer.encode(text, addingBOS: true)
        let windows = tokens.count / contextLength
        guard windows > 0 else {
            throw EngineError(
                .invalidRequest, "the text has \(tokens.count) tokens, fewer than a window of \(contextLength)")
        }
        let first = contextLength / 2
        var (sum, squares, count) = (0.0, 0.0, 0)
        var result = Result(perplexity: .nan, standardError: .nan, scoredTokens: 0, windows: 0)
        for window in 0..<windows {
            try Task.checkCancellation()
            var part = Array(tokens[window * contextLength..<(window + 1) * contextLength])
            if tokenizer.addsBOS, let bos = tokenizer.bosToken { part[0] = bos }
            for score in try await engine.score(part, from: first) {
                sum -= Double(score.logprob)
                squares += Double(score.logprob) * Double(score.logprob)
                count += 1
            }
            let mean = sum / Double(count)
            let variance = max(0, squares / Double(count) - mean * mean)
            let perplexity = exp(mean)
            result = Result(
                perplexity: perplexity,
                standardError: count > 1 ? perplexity * (variance / Double(count - 1)).squareRoot() : .nan,
                scoredTokens: count, windows: window + 1)
            report(result)
        }
        return result
    }
}
