// SPDX-License-Identifier: Apache-2.0

import Foundation

/// What one event of a streamed answer says.
package struct AnswerEvent: Equatable, Sendable {
    /// Text that it brings; empty where a token has none yet.
    package var text = ""
    /// Whether it brings tokens, or only says why an answer ended or how long it is.
    package var hasTokens = false
    /// As the server counts them, once it has said so.
    package var completionTokens: Int?
    package var promptTokens: Int?
    /// What went wrong after the answer had begun.
    package var error: String?
}

/// Cuts a stream of server-sent events into what they say, whatever pieces its bytes come in.
package struct EventStreamParser {
    private var line: [UInt8] = []

    package init() {}

    /// Takes bytes as they come; returns the events that they complete.
    package mutating func append(_ bytes: some Sequence<UInt8>) -> [AnswerEvent] {
        var events: [AnswerEvent] = []
        for byte in bytes {
            guard byte == UInt8(ascii: "\n") else {
                // No server sends longer events; a longer one is ignored.
                if line.count < 1 << 20 { line.append(byte) }
                continue
            }
            if let event = Self.event(line) { events.append(event) }
            line.removeAll(keepingCapacity: true)
        }
        return events
    }

    private struct Event: Decodable {
        struct Choice: Decodable {
            struct Delta: Decodable { let content: String? }
            let text: String?
            let delta: Delta?
            let finish_reason: String?
        }
        struct Usage: Decodable {
            let prompt_tokens: Int?
            let completion_tokens: Int?
        }
        struct Failure: Decodable { let message: String? }
        let choices: [Choice]?
        let usage: Usage?
        let error: Failure?
    }

    private static func event(_ line: [UInt8]) -> AnswerEvent? {
        let prefix = Array("data:".utf8)
        guard line.starts(with: prefix),
            let event = try? JSONDecoder().decode(Event.self, from: Data(line.dropFirst(prefix.count)))
        else { return nil }
        var result = AnswerEvent()
        // Counts are summed up later.
        func count(_ value: Int?) -> Int? { value.flatMap { (0...1 << 32).contains($0) ? $0 : nil } }
        result.completionTokens = count(event.usage?.completion_tokens)
        result.promptTokens = count(event.usage?.prompt_tokens)
        result.error = event.error.map { $0.message ?? "an error without a message" }
        if let choice = event.choices?.first {
            // A chat's first event brings a role and no token.
            result.text = choice.text ?? choice.delta?.content ?? ""
            result.hasTokens = !result.text.isEmpty || (choice.finish_reason == nil && choice.delta == nil)
        }
        return result
    }
}
