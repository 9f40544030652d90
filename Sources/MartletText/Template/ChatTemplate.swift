// SPDX-License-Identifier: Apache-2.0

import Glibc
import OrderedCollections

/// One turn of a conversation.
public struct ChatMessage: Equatable, Sendable {
    /// `system`, `user` or `assistant`, or whatever else the template knows.
    public var role: String
    public var content: String

    public init(role: String, content: String) {
        self.role = role
        self.content = content
    }

    public static func system(_ content: String) -> ChatMessage { ChatMessage(role: "system", content: content) }
    public static func user(_ content: String) -> ChatMessage { ChatMessage(role: "user", content: content) }
    public static func assistant(_ content: String) -> ChatMessage { ChatMessage(role: "assistant", content: content) }
}

/// A Jinja template that turns a conversation into a prompt, parsed once.
///
/// Blocks are trimmed and stripped as Hugging Face renders chat templates.
public struct ChatTemplate: Sendable {
    /// As it was written.
    public let source: String
    /// What rendering may take.
    public var budget: TemplateBudget
    private let statements: [TemplateStatement]

    public init(_ source: String, budget: TemplateBudget = TemplateBudget()) throws(TemplateError) {
        guard source.utf8.count <= budget.sourceBytes else {
            throw TemplateError(.budgetExceeded, "a template of more than \(budget.sourceBytes) bytes", line: 0)
        }
        statements = try TemplateParser.parse(TemplateLexer.tokenize(source), maximumDepth: budget.depth)
        self.source = source
        self.budget = budget
    }

    /// Renders over named values.
    public func render(_ context: [String: TemplateValue]) throws(TemplateError) -> String {
        var evaluator = TemplateEvaluator(context: context, budget: budget, now: time(nil))
        try evaluator.run(statements)
        return evaluator.output
    }

    /// Renders a conversation.
    ///
    /// - Parameters:
    ///   - addingGenerationPrompt: whether the prompt ends where the assistant's answer begins.
    ///   - bosToken: the text of BOS and EOS, which some templates write themselves.
    public func render(
        _ messages: [ChatMessage], addingGenerationPrompt: Bool = true, bosToken: String = "", eosToken: String = ""
    ) throws(TemplateError) -> String {
        try render([
            "messages": .list(
                TemplateList(messages.map { .dictionary(["role": .string($0.role), "content": .string($0.content)]) })),
            "add_generation_prompt": .bool(addingGenerationPrompt),
            "bos_token": .string(bosToken), "eos_token": .string(eosToken),
        ])
    }
}
