// SPDX-License-Identifier: Apache-2.0

import Foundation
import Martlet
import Summaries
import Testing

/// A tiny model of random weights loads in milliseconds. It answers nonsense, but always the same nonsense: enough to test
/// all that isn't the model's. Its tokens are bytes.
@Suite struct SummarizerTests {
    private func engine() async throws -> Engine {
        let config = try #require(Bundle.module.url(forResource: "config", withExtension: "json"))
        var options = EngineOptions()
        options.loadFormat = .dummy
        options.chatTemplate = "{% for message in messages %}{{ message.content }}{% endfor %}"
        return try await Engine.load(config.path, options: options)
    }

    @Test func summariesAreBounded() async throws {
        let summary = try await Summarizer(engine: engine()).summary(of: "A long text.", words: 4)
        #expect(summary.utf8.count <= 3 * 8)
    }

    @Test func theSameTextGivesTheSameSummary() async throws {
        let summarizer = Summarizer(engine: try await engine())
        let first = try await summarizer.summary(of: "A long text.", words: 8)
        #expect(try await summarizer.summary(of: "A long text.", words: 8) == first)
    }

    @Test func aTextThatIsTooLongIsRefused() async throws {
        let summarizer = Summarizer(engine: try await engine())
        let error = await #expect(throws: EngineError.self) {
            try await summarizer.summary(of: String(repeating: "word ", count: 200), words: 8)
        }
        #expect(error?.code == .contextExceeded)
    }
}
