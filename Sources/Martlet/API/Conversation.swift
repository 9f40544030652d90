// SPDX-License-Identifier: Apache-2.0

public import MartletText

/// The turns of a chat so far, kept within a model's context.
public struct Conversation: Sendable {
    /// Stands before all turns and is never forgotten.
    public let system: String?
    /// Tokens of prompt and answer together.
    public let maxModelLength: Int
    /// Tokens kept free for the answer.
    public let reserve: Int
    /// The turns, the system message first.
    public var messages: [ChatMessage]

    /// - Parameters:
    ///   - system: what the model is told before all turns.
    ///   - maxModelLength: tokens of prompt and answer together, as `LoadedModel.maxModelLength` has them.
    ///   - answerLength: tokens kept free for an answer, such as `SamplingParameters.maxTokens`; nil keeps 512, or a quarter
    ///     of a short context.
    public init(system: String? = nil, maxModelLength: Int, answerLength: Int? = nil) {
        self.system = system
        self.maxModelLength = maxModelLength
        reserve = max(1, answerLength ?? min(512, maxModelLength / 4))
        messages = system.map { [.system($0)] } ?? []
    }

    /// Forgets everything but the system message.
    public mutating func clear() { messages = system.map { [.system($0)] } ?? [] }

    /// Drops the oldest turns, never the system message nor the newest question, until prompt and answer fit.
    ///
    /// - Parameter tokens: counts a prompt's tokens.
    /// - Returns: how many messages went. None do where the newest question and the system message alone fill the context:
    ///   the engine refuses that prompt, and the history isn't lost over it.
    public mutating func fit(counting tokens: ([ChatMessage]) throws -> Int) rethrows -> Int {
        let first = system == nil ? 0 : 1
        guard messages.count > first, try tokens(messages) + reserve > maxModelLength,
            try tokens(messages[..<first] + messages.suffix(1)) < maxModelLength
        else { return 0 }
        var forgotten = 0
        while try tokens(messages) + reserve > maxModelLength, messages.count > first + 1 {
            // A question goes with its answer.
            repeat {
                messages.remove(at: first)
                forgotten += 1
            } while messages.count > first + 1 && messages[first].role != .user
        }
        return forgotten
    }
}
