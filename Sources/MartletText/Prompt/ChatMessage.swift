// SPDX-License-Identifier: Apache-2.0

public import MartletJSON

/// One turn of a conversation.
public struct ChatMessage: Equatable, Sendable {
    /// Whose turn it is.
    public enum Role: String, CaseIterable, Sendable {
        case system
        /// Shown to a template that doesn't know it as `system`.
        case developer
        case user
        case assistant
        /// What a tool returned.
        case tool
        case function
    }

    /// A piece of what is said. More kinds than text may come.
    public enum Part: Equatable, Sendable, ExpressibleByStringLiteral {
        case text(String)

        public init(stringLiteral value: String) { self = .text(value) }

        var text: String {
            switch self {
            case .text(let text): text
            }
        }
    }

    /// A function that the assistant asks to have called.
    public struct ToolCall: Equatable, Sendable {
        /// What the answer names the call by; nil where the model's template has no names.
        public var id: String?
        /// The function's name.
        public var name: String
        /// An object; the function's parameters by name.
        public var arguments: JSONValue

        /// A call of a function.
        public init(id: String? = nil, name: String, arguments: JSONValue) {
            self.id = id
            self.name = name
            self.arguments = arguments
        }
    }

    /// Whose turn it is.
    public var role: Role
    /// What is said, piece by piece.
    public var parts: [Part]
    /// Who of several with the same role it is, for templates that write it; nil for none.
    public var name: String?
    /// Calls that an assistant's turn asks for.
    public var toolCalls: [ToolCall] = []
    /// The call that a tool's turn answers.
    public var toolCallID: String?

    /// A turn of one text.
    public init(role: Role, content: String, name: String? = nil) {
        self.init(role: role, parts: [.text(content)], name: name)
    }

    /// A turn of several parts.
    public init(role: Role, parts: [Part], name: String? = nil) {
        self.role = role
        self.parts = parts
        self.name = name
    }

    /// The text; that of several parts is joined by line feeds.
    public var content: String {
        get { parts.map(\.text).joined(separator: "\n") }
        set { parts = [.text(newValue)] }
    }

    /// What the model is told before the conversation.
    public static func system(_ content: String) -> ChatMessage { ChatMessage(role: .system, content: content) }
    /// What is asked.
    public static func user(_ content: String) -> ChatMessage { ChatMessage(role: .user, content: content) }
    /// What was answered.
    public static func assistant(_ content: String) -> ChatMessage { ChatMessage(role: .assistant, content: content) }

    /// An assistant's turn that asks for calls.
    public static func assistant(_ content: String = "", calling toolCalls: [ToolCall]) -> ChatMessage {
        var message = assistant(content)
        message.toolCalls = toolCalls
        return message
    }

    /// What a tool returned.
    ///
    /// - Parameter callID: the `id` of the call that it answers.
    public static func tool(_ content: String, callID: String? = nil, name: String? = nil) -> ChatMessage {
        var message = ChatMessage(role: .tool, content: content, name: name)
        message.toolCallID = callID
        return message
    }
}

// MARK: As a template sees it

extension ChatMessage {
    /// - Parameters:
    ///   - developerIsKnown: whether the template tells developers' messages from others.
    ///   - keepsParts: whether several parts are a list of mappings, as templates with pictures read them, and not one text.
    func value(developerIsKnown: Bool, keepsParts: Bool) -> TemplateValue {
        // Some templates write roles into control tokens: <|user|>. Roles are ours, so they can't be a user's invention.
        let shown = role == .developer && !developerIsKnown ? Role.system : role
        var entries: [(PromptText, TemplateValue)] = [("role", .string(PromptText(shown.rawValue)))]
        if keepsParts, parts.count > 1 {
            entries.append(
                ("content", .list(TemplateList(parts.map { ["type": "text", "text": .user($0.text)] }))))
        } else {
            entries.append(("content", .user(content)))
        }
        if let name { entries.append(("name", .user(name))) }
        if !toolCalls.isEmpty { entries.append(("tool_calls", .list(TemplateList(toolCalls.map(\.value))))) }
        if let toolCallID { entries.append(("tool_call_id", .user(toolCallID))) }
        return .dictionary(TemplateMapping(entries))
    }
}

extension ChatMessage.ToolCall {
    fileprivate var value: TemplateValue {
        var entries: [(PromptText, TemplateValue)] = [
            ("type", "function"), ("function", ["name": .user(name), "arguments": TemplateValue(user: arguments)]),
        ]
        if let id { entries.insert(("id", .user(id)), at: 0) }
        return .dictionary(TemplateMapping(entries))
    }
}

extension TemplateValue {
    /// A string that a user wrote.
    static func user(_ text: String) -> TemplateValue { .string(PromptText(user: text)) }

    /// A value whose strings a user wrote: none of them becomes a control token.
    package init(user value: JSONValue) {
        switch value {
        case .null: self = .none
        case .bool(let value): self = .bool(value)
        case .integer(let value): self = .integer(value)
        case .unsigned(let value): self = .float(Double(value))
        case .number(let value): self = .float(value)
        case .string(let value): self = .user(value)
        case .array(let elements): self = .list(TemplateList(elements.map { TemplateValue(user: $0) }))
        case .elements(let count, let element):
            self = .list(TemplateList((0..<count).map { TemplateValue(user: element($0)) }))
        case .object(let object):
            self = .dictionary(
                TemplateMapping(object.members.map { (PromptText(user: $0.key), TemplateValue(user: $0.value)) }))
        }
    }
}
