// SPDX-License-Identifier: Apache-2.0

import Martlet

/// The code under test: it asks a model for a summary.
public struct Summarizer: Sendable {
    let engine: Engine

    public init(engine: Engine) { self.engine = engine }

    /// - Throws: `EngineError` with the code `contextExceeded` where the text is too long for the model.
    public func summary(of text: String, words: Int) async throws -> String {
        var sampling = SamplingParameters.greedy
        sampling.maxTokens = 2 * words
        let question = "Summarize in at most \(words) words:\n\(text)"
        return try await engine.generate([.user(question)], sampling: sampling).answers().first?.text ?? ""
    }
}
