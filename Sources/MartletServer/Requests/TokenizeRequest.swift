// SPDX-License-Identifier: Apache-2.0

import MartletJSON
import MartletText

/// The body of `/tokenize`: a text, or a conversation.
package struct TokenizeRequest: Sendable {
    var model: String?
    var prompt: String?
    var messages: [ChatMessage]?
    /// Whether a text may get BOS; nil where the request doesn't say.
    var addsSpecialTokens: Bool?
    /// Whether control tokens that a text spells are found; nil where the request doesn't say.
    var parsesSpecials: Bool?

    package static let fields: [RequestField<TokenizeRequest>] = [
        RequestField("prompt", .string, "The text.") {
            (value, target) throws(ServerError) in target.prompt = try value.string()
        },
        RequestField("messages", .list, "Instead of it, a conversation; it is put into the model's chat template.") {
            (value, target) throws(ServerError) in target.messages = try ChatRequest.messages(value)
        },
        RequestField("add_special_tokens", .boolean, "Whether a text may get BOS; true by default. Not with messages.")
        {
            (value, target) throws(ServerError) in target.addsSpecialTokens = try value.bool()
        },
        RequestField(
            "parse_special", .boolean,
            "Whether control tokens that a text spells become those tokens; true by default, unless the server was started with `--no-parse-special`. Not with messages."
        ) {
            (value, target) throws(ServerError) in target.parsesSpecials = try value.bool()
        },
        RequestField("model", .string, "As in completions.") {
            (value, target) throws(ServerError) in
            let name = try value.string()
            target.model = name.isEmpty ? nil : name
        },
    ]

    private static let fieldsByName = Dictionary(uniqueKeysWithValues: fields.map { ($0.name, $0) })
    private static let neutralValues: [String: [JSONValue]] = [
        "add_generation_prompt": [true], "continue_final_message": [false], "return_token_strs": [false], "tools": [[]],
        "chat_template_kwargs": [[:]],
    ]

    init(_ body: JSONValue) throws(ServerError) {
        try RequestField.read(body, into: &self, by: Self.fieldsByName, neutral: Self.neutralValues)
        guard prompt != nil || messages != nil else {
            throw .invalid("prompt", "prompt is missing, or messages instead of it")
        }
        guard prompt == nil || messages == nil else {
            throw .invalid("prompt", "prompt and messages exclude each other")
        }
        guard messages != nil else { return }
        // The template alone writes the control tokens of a conversation.
        let asked = [("add_special_tokens", addsSpecialTokens), ("parse_special", parsesSpecials)]
        for (name, value) in asked where value == true {
            throw .unsupported(name, true, advice: "with messages the template alone writes control tokens")
        }
    }
}

/// The body of `/detokenize`.
package struct DetokenizeRequest: Sendable {
    var model: String?
    var tokens: [Int32] = []

    package static let fields: [RequestField<DetokenizeRequest>] = [
        RequestField("tokens", .list, "Token ids.") {
            (value, target) throws(ServerError) in target.tokens = try value.tokens()
        },
        RequestField("model", .string, "As in completions.") {
            (value, target) throws(ServerError) in
            let name = try value.string()
            target.model = name.isEmpty ? nil : name
        },
    ]

    private static let fieldsByName = Dictionary(uniqueKeysWithValues: fields.map { ($0.name, $0) })

    init(_ body: JSONValue) throws(ServerError) {
        try RequestField.read(
            body, into: &self, by: Self.fieldsByName, required: "tokens", neutral: ["skip_special_tokens": [false]])
    }
}
