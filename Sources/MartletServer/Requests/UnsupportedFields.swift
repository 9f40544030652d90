// SPDX-License-Identifier: Apache-2.0

/// Fields of OpenAI's and vLLM's requests that mean something which this server can't do: refused, so that nobody takes
/// an answer for what it is not. Values that ask for nothing are accepted.
enum UnsupportedFields {
    /// Each with the values that ask for nothing.
    static let neutralValues: [String: [JSONValue]] = [
        "add_generation_prompt": [true],
        "audio": [],
        "best_of": [1],
        "chat_template": [],
        "chat_template_kwargs": [[:]],
        "continue_final_message": [false],
        "documents": [[]],
        "echo": [false],
        "function_call": ["none"],
        "functions": [[]],
        "guided_choice": [],
        "guided_grammar": [],
        "guided_json": [],
        "guided_regex": [],
        "length_penalty": [1, .number(1)],
        "logits_processors": [[]],
        "mm_processor_kwargs": [[:]],
        "modalities": [["text"]],
        "prediction": [],
        "prompt_embeds": [],
        "reasoning_effort": ["none"],
        "response_format": [["type": "text"]],
        "return_token_strs": [false],
        "skip_special_tokens": [true],
        "structured_outputs": [],
        "suffix": [""],
        "tool_choice": ["none"],
        "tools": [[]],
        "truncate_prompt_tokens": [],
        "use_beam_search": [false],
        "web_search_options": [],
    ]

    static func check(_ name: String, _ value: JSONValue, in body: JSONObject) throws(ServerError) {
        guard let neutral = neutralValues[name], !neutral.contains(value) else { return }
        // Tools that must not be called are nothing but words.
        if name == "tools", body["tool_choice"] == "none" { return }
        throw .unsupported(name)
    }
}
