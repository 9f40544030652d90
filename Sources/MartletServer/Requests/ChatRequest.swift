// SPDX-License-Identifier: Apache-2.0

import Martlet
import MartletJSON
import MartletText

/// The body of `/v1/chat/completions`.
package struct ChatRequest: Sendable {
    var common: GenerationFields
    var messages: [ChatMessage] = []
    var logprobs = false
    var topLogprobs: Int?
    private var maxCompletionTokens: Int?

    package static let fields: [RequestField<ChatRequest>] =
        [
            RequestField(
                "messages", .list,
                "The conversation: objects with `role` (`system`, `developer`, `user`, `assistant`, `function`), `content`, a text or a list of `{\"type\": \"text\"}` parts, and `name`, for templates that write it. An assistant's `content` may be null."
            ) {
                (value, target) throws(ServerError) in target.messages = try messages(value)
            },
            RequestField("max_completion_tokens", .integer, "The same as `max_tokens`, and above it.") {
                (value, target) throws(ServerError) in
                let count = try value.integer()
                target.common.sentNames["max_tokens"] = "max_completion_tokens"
                target.maxCompletionTokens = count
            },
            RequestField("logprobs", .boolean, "Reports each token's logprob.") {
                (value, target) throws(ServerError) in target.logprobs = try value.bool()
            },
            RequestField(
                "top_logprobs", .integer, "With `logprobs`, how many of the likeliest tokens each position reports."
            ) {
                (value, target) throws(ServerError) in target.topLogprobs = try value.integer()
            },
        ] + GenerationFields.fields.map { $0.on(\.common) }

    private static let fieldsByName = Dictionary(uniqueKeysWithValues: fields.map { ($0.name, $0) })

    init(_ body: JSONValue, defaults: SamplingParameters, limits: ServerLimits) throws(ServerError) {
        common = GenerationFields(sampling: defaults)
        try RequestField.read(body, into: &self, by: Self.fieldsByName, required: "messages")
        if let maxCompletionTokens {
            common.sampling.maxTokens = maxCompletionTokens == -1 ? nil : maxCompletionTokens
        }
        common.sentNames["prompt"] = "messages"
        if topLogprobs != nil { common.sentNames["logprobs"] = "top_logprobs" }
        try common.check(prompts: 1, limits: limits)
        guard logprobs || topLogprobs ?? 0 == 0 else {
            throw .invalid("top_logprobs", "top_logprobs needs logprobs to be true")
        }
        if logprobs { common.sampling.logprobs = topLogprobs ?? 0 }
    }

    static func messages(_ value: FieldValue) throws(ServerError) -> [ChatMessage] {
        let elements = try value.list()
        guard !elements.isEmpty else { throw .invalid("messages", "there is no message") }
        return try elements.enumerated().map { (index, element) throws(ServerError) in
            let name = "messages[\(index)]"
            let object = try FieldValue(name: name, json: element.json).object()
            for member in object.members where member.value != .null {
                guard !messageFields.contains(member.key), !isEmpty(member) else { continue }
                let key = String(member.key.prefix(64))
                guard unsupportedMessageFields.contains(key) else {
                    let hint = key.nearest(of: messageFields).map { "; do you mean \($0)?" } ?? ""
                    throw ServerError(
                        .badRequest, "\(name) has no field \(key.debugDescription)" + hint, param: name,
                        code: "unknown_parameter")
                }
                throw ServerError.unsupported("\(name).\(key)", member.value)
            }
            func value(_ field: String) -> FieldValue {
                FieldValue(name: "\(name).\(field)", json: object[field] ?? .null)
            }
            for field in ["role", "content"] where object[field] ?? .null == .null {
                guard field == "content", object["role"] == "assistant" else {
                    throw ServerError.invalid("\(name).\(field)", "\(name).\(field) is missing")
                }
            }
            let spelled = try value("role").name(ofAtMost: 64)
            if spelled == "tool" { throw .unsupported("\(name).role", "tool") }
            guard let role = ChatMessage.Role(rawValue: spelled), role != .tool else {
                throw .invalid("\(name).role", "\(name).role is \(spelled.debugDescription); it must be \(roleList)")
            }
            // Some clients keep what they asked for in a refusal, and answers of tools alone without a content.
            let isAnswer = role == .assistant
            let content = object["content"] ?? .null
            return ChatMessage(
                role: role, content: isAnswer && content == .null ? "" : try text(value("content"), isAnswer: isAnswer),
                name: object["name"] ?? .null == .null ? nil : try value("name").name(ofAtMost: 256))
        }
    }

    private static let roles = ChatMessage.Role.allCases.filter { $0 != .tool }.map(\.rawValue)
    private static var roleList: String { roles.dropLast().joined(separator: ", ") + " or \(roles.last ?? "")" }
    private static let messageFields = ["role", "content", "name"]
    /// What other servers' messages may have besides.
    private static let unsupportedMessageFields: Set<String> = [
        "tool_calls", "tool_call_id", "function_call", "annotations", "refusal", "reasoning_content", "reasoning",
        "audio",
        "prefix",
    ]

    /// Fields of a message that ask for nothing.
    private static func isEmpty(_ member: JSONObject.Member) -> Bool {
        switch member.key {
        case "tool_calls", "annotations": member.value == []
        case "refusal", "reasoning_content", "reasoning": member.value == ""
        default: false
        }
    }

    /// A text, or the texts of parts.
    ///
    /// - Parameter isAnswer: whether the model may have refused.
    private static func text(_ value: FieldValue, isAnswer: Bool) throws(ServerError) -> String {
        if case .string(let text) = value.json { return text }
        guard case .array = value.json else { throw value.fault("a string or a list of parts") }
        return try value.list().map { (part) throws(ServerError) in
            if case .string(let text) = part.json { return text }
            let object = try part.object()
            // How long a prompt is kept in a cache changes no answer.
            for member in object.members
            where member.value != .null
                && !["type", "text", "refusal", "cache_control", "annotations"].contains(member.key)
            {
                throw .unsupported("\(value.name) part's \(member.key.prefix(64))", member.value)
            }
            if isAnswer, object["type"] == "refusal", let text = object["refusal"] {
                return try FieldValue(name: value.name, json: text).string()
            }
            guard object["type"] == "text", let text = object["text"] else {
                throw ServerError.unsupported(value.name, .object(object), advice: "parts must be of type text")
            }
            return try FieldValue(name: value.name, json: text).string()
        }.joined(separator: "\n")
    }
}
