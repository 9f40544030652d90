// SPDX-License-Identifier: Apache-2.0

import Martlet
import MartletText
import Synchronization

/// The engine behind a server: being loaded, ready, or being stopped.
final class ServedEngine: Sendable {
    private let engine = Mutex<Engine?>(nil)
    private let draining = Atomic<Bool>(false)

    func attach(_ loaded: Engine) { engine.withLock { $0 = loaded } }
    func beginDraining() { draining.store(true, ordering: .relaxed) }

    var current: Engine? { engine.withLock { $0 } }
    var isDraining: Bool { draining.load(ordering: .relaxed) }

    /// For requests that need it.
    func require() throws(ServerError) -> Engine {
        guard let engine = current else { throw .loading }
        return engine
    }

    /// Why no requests are taken; nil where they are.
    var unavailableReason: String? {
        guard let engine = current else { return "loading" }
        if engine.health == .failed { return EngineHealth.failed.rawValue }
        if isDraining { return "draining" }
        return engine.health == .ready ? nil : engine.health.rawValue
    }
}

/// Turns a request's texts into tokens, within the limits; on the text worker.
struct PromptTokens: Sendable {
    let engine: Engine
    let limits: ServerLimits
    private let deadline: ContinuousClock.Instant

    /// - Parameter client: nothing is done for a client that has gone.
    init(_ engine: Engine, limits: ServerLimits, for client: ClientPresence) throws {
        if client.isGone { throw ClientGone() }
        self.engine = engine
        self.limits = limits
        deadline = .now + .seconds(limits.tokenizeSeconds)
    }

    /// A text's tokens, unless it is hopelessly long or takes too long.
    ///
    /// - Parameter parsingSpecials: whether control tokens that it spells become those tokens.
    func tokens(of text: String, addingBOS: Bool, parsingSpecials: Bool) throws -> [Int32] {
        try require(text.utf8.count, fitsIn: engine.model.maxModelLength, "prompt")
        let prompt = PromptText(text, parsingSpecials: parsingSpecials)
        return try engine.model.tokenizer.encode(prompt, addingBOS: addingBOS, until: deadline)
    }

    func tokens(of messages: [ChatMessage]) throws -> [Int32] {
        // Templates write something of each.
        guard messages.count <= engine.model.maxModelLength else {
            throw ServerError(
                .badRequest,
                "\(messages.count) messages are more than the context's \(engine.model.maxModelLength) tokens",
                param: "messages", code: "context_length_exceeded")
        }
        try require(
            messages.reduce(0) { $0 + $1.content.utf8.count }, fitsIn: engine.model.maxModelLength, "messages")
        return try engine.model.text.tokens(of: messages, until: deadline)
    }

    func badWords(_ words: [String]) throws -> [[Int32]] {
        guard words.count <= limits.request.badWords else {
            throw ServerError.invalid(
                "bad_words", "bad_words has \(words.count) words; \(limits.request.badWords) are allowed")
        }
        guard !words.contains(where: { $0.allSatisfy(\.isWhitespace) }) else {
            throw ServerError.invalid("bad_words", "bad_words holds a blank word")
        }
        for word in words { try require(word.utf8.count, fitsIn: limits.request.badWordTokens, "bad_words") }
        return engine.model.tokenizer.badWordTokens(words)
    }

    /// Text of tokens, for people; none where there are too many of them, which the engine refuses.
    func text(of tokens: [Int32]) -> String {
        guard tokens.count <= engine.model.maxModelLength else { return "" }
        return engine.model.tokenizer.decode(tokens, includingSpecials: true)
    }

    /// No token stands for more bytes than the longest, so a text of more than the limit times that many bytes is too long.
    private func require(_ bytes: Int, fitsIn tokens: Int, _ field: String) throws(ServerError) {
        let (most, overflows) = tokens.multipliedReportingOverflow(by: engine.model.tokenizer.vocabulary.longestToken)
        guard overflows || bytes <= most else {
            throw ServerError(
                .badRequest, "\(field) has \(bytes) bytes, which \(tokens) tokens can't hold", param: field,
                code: "context_length_exceeded")
        }
    }
}
