// SPDX-License-Identifier: Apache-2.0

import MartletJSON
import MartletText

/// Fields of other servers' requests that no table of ours has.
///
/// A field that asks for something is refused by its name, so that no client takes an answer for what it is not; an unknown
/// one too. Accepted are values that ask for nothing, and fields that can't change an answer.
enum UnsupportedFields {
    /// Each with the values that ask for nothing.
    static let neutralValues: [String: [JSONValue]] = [
        "add_generation_prompt": [true],
        "add_special_tokens": [false],
        "audio": [],
        "best_of": [1],
        "cache_prompt": [true],
        "chat_template": [],
        "chat_template_kwargs": [[:]],
        "continue_final_message": [false],
        "documents": [[]],
        "dry_multiplier": [0],
        "dynatemp_range": [0],
        "echo": [false],
        "function_call": ["none"],
        "functions": [[]],
        "grammar": [""],
        "guided_choice": [],
        "guided_grammar": [],
        "guided_json": [],
        "guided_regex": [],
        "id_slot": [-1],
        "image_data": [[]],
        "include_reasoning": [true],
        "json_schema": [],
        "length_penalty": [1],
        "logits_processors": [[]],
        "lora": [[]],
        "mirostat": [0],
        "mm_processor_kwargs": [[:]],
        "modalities": [["text"]],
        "n_keep": [0],
        "n_probs": [0],
        "prediction": [],
        "prompt_embeds": [],
        "reasoning_effort": ["none"],
        "repeat_penalty": [1],
        "response_format": [["type": "text"]],
        "return_token_ids": [false],
        "return_token_strs": [false],
        "skip_special_tokens": [true],
        "spaces_between_special_tokens": [true],
        "structured_outputs": [],
        "suffix": [""],
        "tool_choice": ["none"],
        "tools": [[]],
        "truncate_prompt_tokens": [],
        "typical_p": [1],
        "use_beam_search": [false],
        "web_search_options": [],
        "xtc_probability": [0],
    ]

    /// Fields that say who asks, or how the answer is kept and paid for; and calls of tools, of which there are none.
    static let harmless: Set<String> = [
        "metadata", "parallel_tool_calls", "prompt_cache_key", "prompt_cache_retention", "request_id",
        "safety_identifier", "service_tier", "store", "user", "verbosity",
    ]

    /// What other servers' fields are called here.
    private static let otherNames = [
        "logit_biases": "logit_bias", "max_length": "max_tokens", "max_new_tokens": "max_tokens",
        "n_predict": "max_tokens", "num_predict": "max_tokens", "n_probs": "logprobs",
        "repeat_penalty": "repetition_penalty", "stop_sequences": "stop", "top_n_tokens": "top_logprobs",
    ]

    /// - Parameters:
    ///   - neutralValues: those of this kind of request.
    ///   - known: fields that the request has.
    static func check(
        _ name: String, _ value: JSONValue, in body: JSONObject, neutral neutralValues: [String: [JSONValue]],
        known: some Sequence<String>
    ) throws(ServerError) {
        if harmless.contains(name) { return }
        let name = String(name.prefix(64))
        let value = value.wholeNumber
        guard let neutral = neutralValues[name] else {
            let hint = (otherNames[name] ?? name.nearest(of: known)).map { "; do you mean \($0)?" }
            throw ServerError(
                .badRequest, "this request has no field \(name.debugDescription)" + (hint ?? ""), param: name,
                code: "unknown_parameter")
        }
        if neutral.contains(value) { return }
        // As many as are drawn: none is left out.
        if name == "best_of", value == body["n"]?.wholeNumber { return }
        // Tools that must not be called are nothing but words.
        if name == "tools", body["tool_choice"] == "none" { return }
        throw .unsupported(name, value, advice: otherNames[name].map { "\($0) is its name here" })
    }
}
