// SPDX-License-Identifier: Apache-2.0

import Glibc
public import MartletJSON

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

    /// Parses a template.
    ///
    /// - Throws: a syntax error with its line; what Jinja has and this interpreter doesn't is in `missing` instead.
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
    ///   - deadline: when to give up; nil for the budget's time alone.
    ///   - now: seconds since 1970 for `strftime_now`; nil for the present.
    package func render(
        _ context: [String: TemplateValue], until deadline: ContinuousClock.Instant? = nil, now: Int? = nil
    ) throws(TemplateError) -> PromptText {
        let latest = ContinuousClock.now + budget.time
        return try Self.onKnownStack { () throws(TemplateError) in
            let evaluator = TemplateEvaluator(
                context: context, budget: budget, now: now ?? time(nil), deadline: min(deadline ?? latest, latest))
            try evaluator.run(statements)
            return evaluator.output
        }
    }

    /// Renders a conversation. All that its messages, tools and variables say is a user's text: none of it can become a
    /// control token.
    ///
    /// - Parameters:
    ///   - tools: functions that the model may ask to have called, each as OpenAI's `tools` describe one.
    ///   - variables: what else the template reads, such as `enable_thinking`.
    ///   - addingGenerationPrompt: whether the prompt ends where the assistant's answer begins.
    ///   - bosToken: the text of BOS and EOS, which some templates write themselves.
    ///   - deadline: when to give up; nil for the budget's time alone.
    public func render(
        _ messages: [ChatMessage], tools: [JSONValue] = [], variables: [String: JSONValue] = [:],
        addingGenerationPrompt: Bool = true, bosToken: String = "", eosToken: String = "",
        until deadline: ContinuousClock.Instant? = nil
    ) throws(TemplateError) -> PromptText {
        let keepsParts = messages.contains { $0.parts.count > 1 } && readsParts(until: deadline)
        var context = context(
            messages, keepsParts: keepsParts, tools: tools, addingGenerationPrompt: addingGenerationPrompt,
            bosToken: bosToken, eosToken: eosToken)
        for (name, value) in variables {
            guard context[name] == nil || name == "documents" else {
                throw TemplateError(.invalidVariable, "the variable \(name) is set by the conversation itself", line: 0)
            }
            context[name] = TemplateValue(user: value)
        }
        return try render(context, until: deadline)
    }

    private func context(
        _ messages: [ChatMessage], keepsParts: Bool, tools: [JSONValue] = [], addingGenerationPrompt: Bool = true,
        bosToken: String = "", eosToken: String = ""
    ) -> [String: TemplateValue] {
        [
            "messages": .list(
                TemplateList(messages.map { $0.value(developerIsKnown: knowsDeveloper, keepsParts: keepsParts) })),
            "tools": tools.isEmpty ? .none : TemplateValue(user: .array(tools)), "documents": .none,
            "add_generation_prompt": .bool(addingGenerationPrompt),
            "bos_token": .string(PromptText(bosToken)), "eos_token": .string(PromptText(eosToken)),
        ]
    }

    /// Whether the template itself tells developers' messages from others.
    private var knowsDeveloper: Bool { source.contains("developer") }

    /// Whether the template reads a list of parts for what it is. It is tried out.
    private func readsParts(until deadline: ContinuousClock.Instant?) -> Bool {
        let probe = ChatMessage(role: .user, parts: ["first-part", "second-part"])
        guard let text = try? render(context([probe], keepsParts: true), until: deadline).string else { return false }
        // A template that writes lists as Python shows them writes their keys, too.
        return text.contains("first-part") && text.contains("second-part") && !text.contains("'type'")
    }
}
