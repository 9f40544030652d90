// SPDX-License-Identifier: Apache-2.0

import Martlet
import MartletText

/// The body of `/v1/chat/completions`.
struct ChatRequest: Sendable {
    var common: GenerationFields
    var messages: [ChatMessage] = []
    var logprobs = false
    var topLogprobs: Int?
    private var maxCompletionTokens: Int?

    static let fields: [RequestField<ChatRequest>] =
        [
            RequestField(
                "messages", .list,
                "The conversation: objects with `role` (`system`, `developer`, `user`, `assistant`) and `content`, a text or a list of `{\"type\": \"text\"}` parts."
            ) {
                (value, target) throws(ServerError) in target.messages = try messages(value)
            },
            RequestField("max_completion_tokens", .integer, "The same as `max_tokens`, and above it.") {
                (value, target) throws(ServerError) in target.maxCompletionTokens = try value.integer()
            },
            RequestField("logprobs", .boolean, "Reports each token's logprob.") {
                (value, target) throws(ServerError) in target.logprobs = try value.bool()
            },
            RequestField("top_logprobs", .integer, "With `logprobs`, so many of the likeliest tokens at each place.") {
                (value, target) throws(ServerError) in target.topLogprobs = try value.integer()
            },
        ] + GenerationFields.fields.map { $0.on(\.common) }

    private static let fieldsByName = Dictionary(uniqueKeysWithValues: fields.map { ($0.name, $0) })

    init(_ body: JSONValue, defaults: SamplingParameters, limits: ServerLimits) throws(ServerError) {
        common = GenerationFields(sampling: defaults)
        try RequestField.read(body, into: &self, by: Self.fieldsByName, required: "messages")
        common.sampling.maxTokens = maxCompletionTokens ?? common.sampling.maxTokens
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
            for field in ["tool_calls", "tool_call_id", "function_call", "audio"] where object[field] ?? .null != .null
            {
                throw ServerError.unsupported("\(name).\(field)")
            }
            let role = try FieldValue(name: "\(name).role", json: object["role"] ?? .null).string()
            guard ["system", "developer", "user", "assistant"].contains(role) else {
                throw .invalid(
                    "\(name).role", "\(role.debugDescription) is no role; system, developer, user and assistant are")
            }
            // What OpenAI calls developer, models know as system.
            return ChatMessage(
                role: role == "developer" ? "system" : role,
                content: try content(FieldValue(name: "\(name).content", json: object["content"] ?? .null)))
        }
    }

    private static func content(_ value: FieldValue) throws(ServerError) -> String {
        if case .string(let text) = value.json { return text }
        guard case .array = value.json else { throw value.fault("a string or a list of parts") }
        return try value.list().map { (part) throws(ServerError) in
            let object = try part.object()
            guard object["type"] == "text", let text = object["text"] else {
                throw ServerError(
                    .badRequest, "only parts of type text are supported", param: value.name,
                    code: "unsupported_parameter")
            }
            return try FieldValue(name: value.name, json: text).string()
        }.joined(separator: "\n")
    }
}
