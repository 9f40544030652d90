// SPDX-License-Identifier: Apache-2.0

import Glibc

/// A Jinja template that turns a conversation into a prompt, parsed once.
///
/// Blocks are trimmed and stripped as Hugging Face renders chat templates.
public struct ChatTemplate: Sendable {
    /// As it was written.
    public let source: String
    /// What rendering may take.
    public var budget: TemplateBudget
    /// What the template uses and this interpreter doesn't have. Rendering throws the same error where it gets there.
    public let missing: [TemplateError]
    private let statements: [TemplateStatement]

    public init(_ source: String, budget: TemplateBudget = TemplateBudget()) throws(TemplateError) {
        guard source.utf8.count <= budget.sourceBytes else {
            throw TemplateError(.budgetExceeded, "a template of more than \(budget.sourceBytes) bytes", line: 0)
        }
        (statements, missing) = try Self.onKnownStack { () throws(TemplateError) in
            try TemplateParser.parse(TemplateLexer.tokenize(source), maximumDepth: budget.depth)
        }
        self.source = source
        self.budget = budget
    }

    private static func onKnownStack<Result>(_ body: () throws(TemplateError) -> Result) throws(TemplateError) -> Result
    {
        let result = KnownStack.run { () -> Swift.Result<Result, TemplateError> in
            do throws(TemplateError) { return .success(try body()) } catch { return .failure(error) }
        }
        guard let result else {
            throw TemplateError(.budgetExceeded, "the system starts no thread for it", line: 0)
        }
        return try result.get()
    }

    /// Renders over named values.
    ///
    /// - Parameters:
    ///   - deadline: when to give up; nil for never.
    ///   - now: seconds since 1970 for `strftime_now`; nil for the present.
    package func render(
        _ context: [String: TemplateValue], until deadline: ContinuousClock.Instant? = nil, now: Int? = nil
    ) throws(TemplateError) -> PromptText {
        try Self.onKnownStack { () throws(TemplateError) in
            let evaluator = TemplateEvaluator(
                context: context, budget: budget, now: now ?? time(nil), deadline: deadline)
            try evaluator.run(statements)
            return evaluator.output
        }
    }

    /// Renders a conversation, whose messages are a user's text.
    ///
    /// - Parameters:
    ///   - addingGenerationPrompt: whether the prompt ends where the assistant's answer begins.
    ///   - bosToken: the text of BOS and EOS, which some templates write themselves.
    ///   - deadline: when to give up; nil for never.
    public func render(
        _ messages: [ChatMessage], addingGenerationPrompt: Bool = true, bosToken: String = "", eosToken: String = "",
        until deadline: ContinuousClock.Instant? = nil
    ) throws(TemplateError) -> PromptText {
        try render(
            [
                "messages": .list(TemplateList(messages.map { $0.value(developerIsKnown: knowsDeveloper) })),
                "add_generation_prompt": .bool(addingGenerationPrompt), "tools": .none, "documents": .none,
                "bos_token": .string(PromptText(bosToken)), "eos_token": .string(PromptText(eosToken)),
            ], until: deadline)
    }

    /// Whether the template itself tells developers' messages from others.
    private var knowsDeveloper: Bool { source.contains("developer") }
}

/// One turn of a conversation.
public struct ChatMessage: Equatable, Sendable {
    /// `system`, `developer`, `user` or `assistant`, or whatever else the template knows. A developer's message is
    /// shown to a template that doesn't know that role as a system message.
    public var role: String
    public var content: String
    /// Who of several with the same role it is, for templates that write it; nil for none.
    public var name: String?

    public init(role: String, content: String, name: String? = nil) {
        self.role = role
        self.content = content
        self.name = name
    }

    public static func system(_ content: String) -> ChatMessage { ChatMessage(role: "system", content: content) }
    public static func user(_ content: String) -> ChatMessage { ChatMessage(role: "user", content: content) }
    public static func assistant(_ content: String) -> ChatMessage { ChatMessage(role: "assistant", content: content) }

    fileprivate func value(developerIsKnown: Bool) -> TemplateValue {
        let shown = role == "developer" && !developerIsKnown ? "system" : role
        // Some templates write roles into control tokens: <|user|>. Those that are known can't be a user's invention.
        let role: TemplateValue = Self.knownRoles.contains(shown) ? .string(PromptText(shown)) : .user(shown)
        guard let name else { return .dictionary(["role": role, "content": .user(content)]) }
        return .dictionary(["role": role, "content": .user(content), "name": .user(name)])
    }

    private static let knownRoles: Set<String> = ["system", "developer", "user", "assistant", "function", "tool"]
}

extension TemplateValue {
    /// A string that a user wrote.
    fileprivate static func user(_ text: String) -> TemplateValue { .string(PromptText(user: text)) }
}
