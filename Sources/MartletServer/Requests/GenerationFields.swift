// SPDX-License-Identifier: Apache-2.0

import Martlet
import MartletJSON
import MartletText

/// What completions and chat completions have in common.
struct GenerationFields: Sendable {
    var model: String?
    var sampling: SamplingParameters

    init(sampling: SamplingParameters) { self.sampling = sampling }

    /// Texts that the answer must not hold, before they are tokens.
    var badWords: [String] = []
    var priority = 0
    var cacheSalt: String?
    var streams = false
    var includesUsage = false
    /// Usage in every piece of a stream.
    var includesUsageAlways = false
    var namesTokensByID = false
    /// Fields of the engine by the names that the request gave them.
    var sentNames: [String: String] = [:]

    /// The table that requests of both kinds are read by.
    static let fields: [RequestField<GenerationFields>] = [
        RequestField(
            "model", .string,
            "Must be a name that the server serves, as `/v1/models` lists them, or any with `--accept-any-model-name`; empty or left out it is the first of them."
        ) {
            (value, target) throws(ServerError) in
            let name = try value.string()
            target.model = name.isEmpty ? nil : name
        },
        RequestField("temperature", .number, "0 always takes the likeliest token; 1 by default.") {
            (value, target) throws(ServerError) in target.sampling.temperature = try value.number()
        },
        RequestField(
            "top_p", .number,
            "Keeps the likeliest tokens whose probabilities reach this sum; 0 keeps the likeliest alone."
        ) {
            (value, target) throws(ServerError) in
            let sum = try value.number()
            target.sampling.topP = sum == 0 ? .leastNormalMagnitude : sum
        },
        RequestField("top_k", .integer, "Keeps this many of the likeliest tokens; 0 or -1 keeps all.") {
            (value, target) throws(ServerError) in target.sampling.topK = try value.integer()
        },
        RequestField("min_p", .number, "Keeps tokens at least this fraction as likely as the likeliest.") {
            (value, target) throws(ServerError) in target.sampling.minP = try value.number()
        },
        RequestField("seed", .integer, "The same seed draws the same answer; -1 is none.") {
            (value, target) throws(ServerError) in
            target.sampling.seed = try value.seed()
        },
        RequestField("n", .integer, "Answers to each prompt.") {
            (value, target) throws(ServerError) in target.sampling.n = try value.integer()
        },
        RequestField(
            "max_tokens", .integer,
            "Ends the answer after so many tokens: 16 by default in completions, as many as fit in chats; never more than the context has room for, which is what -1 asks for."
        ) {
            (value, target) throws(ServerError) in
            let count = try value.integer()
            target.sampling.maxTokens = count == -1 ? nil : count
        },
        RequestField("min_tokens", .integer, "Lets nothing end the answer before so many tokens.") {
            (value, target) throws(ServerError) in target.sampling.minTokens = try value.integer()
        },
        RequestField("stop", .stringOrList, "Texts that end the answer, which doesn't hold them.") {
            (value, target) throws(ServerError) in target.sampling.stop = try value.strings()
        },
        RequestField("stop_token_ids", .list, "Tokens that end the answer.") {
            (value, target) throws(ServerError) in target.sampling.stopTokenIDs = try value.tokens()
        },
        RequestField("include_stop_str_in_output", .boolean, "Keeps the stop string in the answer.") {
            (value, target) throws(ServerError) in target.sampling.includesStopString = try value.bool()
        },
        RequestField("ignore_eos", .boolean, "Goes on where the model would end its answer.") {
            (value, target) throws(ServerError) in target.sampling.ignoresEndTokens = try value.bool()
        },
        RequestField("presence_penalty", .number, "Discourages tokens that the answer holds already; in [-2, 2].") {
            (value, target) throws(ServerError) in target.sampling.presencePenalty = try value.number()
        },
        RequestField("frequency_penalty", .number, "The same, once for each time that it holds them; in [-2, 2].") {
            (value, target) throws(ServerError) in target.sampling.frequencyPenalty = try value.number()
        },
        RequestField("repetition_penalty", .number, "Above 1 discourages tokens that prompt or answer hold already.") {
            (value, target) throws(ServerError) in target.sampling.repetitionPenalty = try value.number()
        },
        RequestField(
            "logit_bias", .object, "Token ids and what is added to their logits; beyond -100 and 100 these count."
        ) {
            (value, target) throws(ServerError) in target.sampling.logitBias = try bias(value)
        },
        RequestField("allowed_token_ids", .list, "Draws from these tokens only.") {
            (value, target) throws(ServerError) in target.sampling.allowedTokenIDs = try value.tokens()
        },
        RequestField("bad_words", .stringOrList, "Texts that the answer must not hold.") {
            (value, target) throws(ServerError) in target.badWords = try value.strings()
        },
        RequestField(
            "prompt_logprobs", .integer,
            "Reports the prompt's logprobs, and this number of the likeliest tokens at each position."
        ) {
            (value, target) throws(ServerError) in target.sampling.promptLogprobs = try value.integer()
        },
        RequestField("priority", .integer, "Under `--scheduling-policy priority` the lowest comes first.") {
            (value, target) throws(ServerError) in target.priority = try value.integer()
        },
        RequestField("cache_salt", .string, "Prompts share cached beginnings only with those of the same salt.") {
            (value, target) throws(ServerError) in target.cacheSalt = try value.string()
        },
        RequestField("stream", .boolean, "Sends the answer in pieces, as server-sent events.") {
            (value, target) throws(ServerError) in target.streams = try value.bool()
        },
        RequestField(
            "stream_options", .object,
            "`include_usage`: the stream's last event counts tokens; `continuous_usage_stats`: every event does."
        ) {
            (value, target) throws(ServerError) in
            let object = try value.object()
            for member in object.members
            where !["include_usage", "continuous_usage_stats", "include_obfuscation"].contains(member.key) {
                throw ServerError.unsupported("stream_options.\(member.key.prefix(64))", member.value)
            }
            func flag(_ name: String) throws(ServerError) -> Bool {
                guard let json = object[name], json != .null else { return false }
                return try FieldValue(name: "stream_options.\(name)", json: json).bool()
            }
            guard try !flag("include_obfuscation") else {
                throw ServerError.unsupported("stream_options.include_obfuscation", true)
            }
            target.includesUsage = try flag("include_usage")
            target.includesUsageAlways = try flag("continuous_usage_stats")
        },
        RequestField(
            "return_tokens_as_token_ids", .boolean, "Logprobs name tokens as `token_id:17`, which is never ambiguous."
        ) {
            (value, target) throws(ServerError) in target.namesTokensByID = try value.bool()
        },
    ]

    private static func bias(_ value: FieldValue) throws(ServerError) -> [Int32: Float] {
        var bias: [Int32: Float] = [:]
        for member in try value.object().members {
            guard let token = Int32(member.key), "\(token)" == member.key else {
                throw ServerError.invalid(
                    "logit_bias", "logit_bias has token ids for keys, not \(member.key.debugDescription)")
            }
            bias[token] = try FieldValue(name: "logit_bias", json: member.value).number()
        }
        return bias
    }

    /// What a piece of a stream says of the tokens so far: nothing where it wasn't asked for, and null before the last piece.
    func usage(_ usage: Usage) -> JSONValue? {
        if includesUsageAlways { return usage.json }
        return includesUsage ? .some(.null) : .none
    }

    /// An error that names a field as the request named it.
    func renamed(_ error: any Error) -> any Error {
        var failure = ServerError(error)
        guard let field = failure.param, let sent = sentNames[field] else { return error }
        failure.param = sent
        if failure.message.hasPrefix(field) { failure.message = sent + failure.message.dropFirst(field.count) }
        return failure
    }

    /// A request for the engine, of a prompt's tokens.
    func request(_ tokens: [Int32]) -> GenerationRequest {
        var request = GenerationRequest(promptTokens: tokens, sampling: sampling)
        request.priority = priority
        request.cacheSalt = cacheSalt
        return request
    }

    /// Refuses what the fields don't mean together.
    func check(prompts: Int, limits: ServerLimits) throws(ServerError) {
        try limits.check(prompts: prompts, samples: sampling.n)
        guard streams || !(includesUsage || includesUsageAlways) else {
            throw .invalid("stream_options", "stream_options needs stream to be true")
        }
        guard !includesUsageAlways || includesUsage else {
            throw .invalid("stream_options", "continuous_usage_stats needs include_usage to be true")
        }
        guard !streams || sampling.promptLogprobs == nil else {
            throw .invalid("prompt_logprobs", "prompt_logprobs is not available in a stream")
        }
    }
}
