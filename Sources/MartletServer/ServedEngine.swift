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
    var hindrance: String? {
        guard let engine = current else { return "loading" }
        if isDraining { return "draining" }
        return engine.health == .ready ? nil : engine.health.rawValue
    }
}

extension Engine {
    /// A text's tokens, unless it is hopelessly long or takes too long.
    func tokens(
        of text: String, addingBOS: Bool, limits: ServerLimits
    ) throws -> [Int32] {
        try requirePossibleLength(of: text.utf8.count)
        return try model.tokenizer.encode(text, addingBOS: addingBOS, until: limits.tokenizeDeadline)
    }

    func tokens(of messages: [ChatMessage], limits: ServerLimits) throws -> [Int32] {
        try requirePossibleLength(of: messages.reduce(0) { $0 + $1.content.utf8.count })
        return try model.tokens(of: messages, until: limits.tokenizeDeadline)
    }

    /// No token stands for more bytes than the longest, so the context can't hold what has more than so many of those.
    private func requirePossibleLength(of bytes: Int) throws(ServerError) {
        let (most, overflows) = model.maxModelLength.multipliedReportingOverflow(
            by: model.tokenizer.vocabulary.longestToken)
        guard overflows || bytes <= most else {
            throw ServerError(
                .badRequest,
                "the prompt has \(bytes) bytes; the context of \(model.maxModelLength) tokens can't hold it",
                param: "prompt", code: "context_length_exceeded")
        }
    }
}

extension ServerLimits {
    var tokenizeDeadline: ContinuousClock.Instant { .now + .seconds(tokenizeSeconds) }
}
