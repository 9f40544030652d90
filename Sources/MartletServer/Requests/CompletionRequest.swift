// SPDX-License-Identifier: Apache-2.0

import Martlet
import MartletJSON

/// The body of `/v1/completions`.
package struct CompletionRequest: Sendable {
    enum Prompt: Equatable, Sendable {
        case text(String)
        case tokens([Int32])
    }

    var common: GenerationFields
    var prompts: [Prompt] = []
    var addsSpecialTokens = true
    /// Whether control tokens that a text spells are found; nil where the request doesn't say.
    var parsesSpecials: Bool?
    /// Whether the answer begins with the prompt.
    var echoes = false
    var logprobs: Int?
    /// Whether the answer has vLLM's `prompt_logprobs`.
    private(set) var reportsPromptLogprobs = false

    package static let fields: [RequestField<CompletionRequest>] =
        [
            RequestField(
                "prompt", .prompt,
                "What to continue. Token ids are taken as they are; a text gets BOS where the model wants it."
            ) {
                (value, target) throws(ServerError) in target.prompts = try prompts(value)
            },
            RequestField(
                "echo", .boolean,
                "Puts the prompt before its answer; with `logprobs` its logprobs too. `max_tokens` may be 0 then."
            ) {
                (value, target) throws(ServerError) in target.echoes = try value.bool()
            },
            RequestField(
                "logprobs", .integer,
                "Reports each token's logprob, and this number of the likeliest tokens at its position."
            ) {
                (value, target) throws(ServerError) in target.logprobs = try value.integer()
            },
            RequestField(
                "parse_special", .boolean,
                "Whether control tokens that a text spells, such as `<|im_end|>`, become those tokens; true by default, unless the server was started with `--no-parse-special`."
            ) {
                (value, target) throws(ServerError) in target.parsesSpecials = try value.bool()
            },
            RequestField("add_special_tokens", .boolean, "Whether a text may get BOS; true by default.") {
                (value, target) throws(ServerError) in target.addsSpecialTokens = try value.bool()
            },
        ] + GenerationFields.fields.map { $0.on(\.common) }

    private static let fieldsByName = Dictionary(uniqueKeysWithValues: fields.map { ($0.name, $0) })

    /// - Parameter defaults: what is drawn where the body doesn't say.
    init(_ body: JSONValue, defaults: SamplingParameters, limits: ServerLimits) throws(ServerError) {
        common = GenerationFields(sampling: defaults)
        // OpenAI's default, which vLLM has too.
        common.sampling.maxTokens = defaults.maxTokens ?? 16
        try RequestField.read(body, into: &self, by: Self.fieldsByName, required: "prompt")
        try common.check(prompts: prompts.count, limits: limits)
        reportsPromptLogprobs = common.sampling.promptLogprobs != nil
        common.sampling.logprobs = logprobs
        if echoes, logprobs != nil || common.sampling.maxTokens == 0 {
            // A prompt that nothing follows is still the engine's to check.
            common.sampling.promptLogprobs = max(logprobs ?? 0, common.sampling.promptLogprobs ?? 0)
        }
    }

    private static func prompts(_ value: FieldValue) throws(ServerError) -> [Prompt] {
        if case .string(let text) = value.json { return [.text(text)] }
        guard case .array(let elements) = value.json else { throw value.fault("a \(FieldKind.prompt.rawValue)") }
        guard let first = elements.first else { throw .invalid("prompt", "prompt is empty") }
        // Elements are of the first one's kind.
        switch first {
        case .string: return try value.list().map { (element) throws(ServerError) in .text(try element.string()) }
        case .array: return try value.list().map { (element) throws(ServerError) in .tokens(try element.tokens()) }
        case .integer, .number, .unsigned: return [.tokens(try value.tokens())]
        default: throw value.fault("a \(FieldKind.prompt.rawValue)", holding: first)
        }
    }
}

extension ServerLimits {
    func check(prompts: Int, samples: Int) throws(ServerError) {
        guard (1...promptsPerRequest).contains(prompts) else {
            throw .invalid("prompt", "\(prompts) prompts; a request may have 1 to \(promptsPerRequest)")
        }
        // Each factor alone is refused with the engine's own words.
        let (answers, overflows) = prompts.multipliedReportingOverflow(by: samples)
        guard !(samples >= 1 && samples <= request.samples) || (!overflows && answers <= promptsPerRequest) else {
            throw .invalid(
                "n", "\(prompts) prompts with n = \(samples); at most \(promptsPerRequest) answers are drawn")
        }
    }

    /// Holds a request to what is kept of it: entries of its prompts' logprobs in each answer, and those of answers that
    /// are sent when they are complete.
    ///
    /// - Returns: how many those are.
    func check(logprobs common: GenerationFields, prompts: [Int], in engine: Engine) throws(ServerError) -> Int {
        let sampling = common.sampling
        var entries = 0.0
        for tokens in prompts {
            if let count = sampling.promptLogprobs { entries += Double(tokens) * (Double(count) + 1) }
            guard let count = sampling.logprobs, !common.streams else { continue }
            let most = min(sampling.maxTokens ?? .max, max(0, engine.model.maxModelLength - tokens))
            entries += Double(most) * (Double(count) + 1)
        }
        let all = entries * max(1, Double(sampling.n))
        guard all <= Double(logprobEntries) else {
            throw .invalid(
                sampling.promptLogprobs == nil ? "logprobs" : "prompt_logprobs",
                "the answer would hold more than \(logprobEntries) logprobs; ask for fewer tokens, answers or alternatives"
            )
        }
        return Int(max(0, all))
    }

    /// Bytes of prompts that the answers repeat.
    func check(echo bytes: Int, samples: Int) throws(ServerError) {
        let (all, overflows) = bytes.multipliedReportingOverflow(by: max(1, samples))
        guard !overflows, all <= echoBytes else {
            throw .invalid("echo", "the answers would repeat more than \(echoBytes) bytes of prompts; ask without echo")
        }
    }
}
