// SPDX-License-Identifier: Apache-2.0

public import Martlet
import MartletText

/// What a client may ask of the server at most. Printed when it starts, and by `/version`.
public struct ServerLimits: Equatable, Sendable {
    /// What one prompt may ask of the engine.
    public var request = RequestLimits()
    /// Prompts of one HTTP request, and their samples all together.
    public var promptsPerRequest = 256
    /// Logprobs that one answer over HTTP holds, those of its prompts in each of its samples among them.
    public var logprobEntries = 1 << 20
    /// Logprobs of all answers over HTTP that are being made at a time.
    public var totalLogprobEntries = 1 << 24
    /// Bytes of the prompts that one answer repeats, in each of its samples.
    public var echoBytes = 64 << 20

    /// Bytes of a request's body.
    public var bodyBytes = 4 << 20
    /// How deep JSON may nest.
    public var jsonDepth = 64
    /// Bytes of one header field, and of all of them.
    public var headerFieldBytes = 8 << 10
    public var headerListBytes = 32 << 10
    public var headerFields = 100
    /// Seconds that the whole header may take from the moment that the connection waits for one, and then the body.
    public var readSeconds = 30.0
    /// Connections that are open at a time; more wait until one is closed.
    public var connections = 1024
    /// Seconds that a client may take nothing of an answer that is there to be sent.
    public var stallSeconds = 30.0
    /// Seconds that a request may take altogether; nil for as many as it needs.
    public var requestSeconds: Double?
    /// Seconds between two signs of life in a stream that has nothing to say.
    public var keepAliveSeconds = 10.0
    /// Seconds that reading a request's texts may take: rendering and tokenizing.
    public var tokenizeSeconds = 2.0
    /// What rendering a conversation may take: expressions and statements, and bytes of text.
    public var templateSteps = TemplateBudget().steps
    public var templateBytes = TemplateBudget().bytes
    /// Seconds that requests under way are given when the server is told to stop.
    public var drainSeconds = 30.0

    /// The defaults.
    public init() {}

    /// All of them, by the names of their flags.
    public var all: [(name: String, value: String)] {
        [
            ("max-body-bytes", "\(bodyBytes)"), ("max-json-depth", "\(jsonDepth)"),
            ("max-header-field-bytes", "\(headerFieldBytes)"), ("max-header-bytes", "\(headerListBytes)"),
            ("max-header-fields", "\(headerFields)"), ("read-timeout", "\(readSeconds)"),
            ("max-connections", "\(connections)"), ("max-queued-requests", "\(request.queuedRequests)"),
            ("max-queued-prompt-tokens", "\(request.queuedPromptTokens)"), ("max-n", "\(request.samples)"),
            ("max-prompts", "\(promptsPerRequest)"), ("max-logprobs", "\(request.logprobs)"),
            ("max-logprob-entries", "\(logprobEntries)"),
            ("max-total-logprob-entries", "\(totalLogprobEntries)"), ("max-echo-bytes", "\(echoBytes)"),
            ("max-stop-strings", "\(request.stopStrings)"), ("max-stop-bytes", "\(request.stopStringBytes)"),
            ("max-stop-tokens", "\(request.stopTokens)"), ("max-bad-words", "\(request.badWords)"),
            ("max-bad-word-tokens", "\(request.badWordTokens)"), ("max-cache-salt-bytes", "\(request.cacheSaltBytes)"),
            ("max-logit-bias", "\(request.logitBiases)"), ("max-template-steps", "\(templateSteps)"),
            ("max-template-bytes", "\(templateBytes)"), ("stream-buffer-bytes", "\(request.unreadBytes)"),
            ("max-unread-bytes", "\(request.totalUnreadBytes)"),
            ("stall-timeout", "\(stallSeconds)"), ("request-timeout", requestSeconds.map { "\($0)" } ?? "none"),
            ("keep-alive-interval", "\(keepAliveSeconds)"), ("tokenize-timeout", "\(tokenizeSeconds)"),
            ("drain-timeout", "\(drainSeconds)"),
        ]
    }

    /// Which of them can't be, for people; nil where all can.
    public var fault: String? {
        let seconds = [
            ("read-timeout", readSeconds), ("stall-timeout", stallSeconds), ("request-timeout", requestSeconds ?? 1),
            ("keep-alive-interval", keepAliveSeconds), ("tokenize-timeout", tokenizeSeconds),
        ]
        for (name, value) in seconds where !(value >= 0.01 && value <= 86_400) {
            return "\(name) is \(value); it must be 0.01 seconds to a day"
        }
        guard drainSeconds >= 0 && drainSeconds <= 86_400 else {
            return "drain-timeout is \(drainSeconds); it must be 0 seconds to a day"
        }
        var counts = [
            ("max-body-bytes", bodyBytes), ("max-header-field-bytes", headerFieldBytes),
            ("max-header-bytes", headerListBytes), ("max-header-fields", headerFields),
            ("max-connections", connections),
            ("max-prompts", promptsPerRequest), ("max-template-steps", templateSteps),
            ("max-template-bytes", templateBytes),
        ].map { (name: $0, value: $1, range: 1...1 << 30) }
        counts += [
            ("max-json-depth", jsonDepth, 1...256),
            // An answer's text, many bytes an entry, must still be one buffer.
            ("max-logprob-entries", logprobEntries, 0...1 << 24),
            ("max-total-logprob-entries", totalLogprobEntries, 0...1 << 24),
            ("max-echo-bytes", echoBytes, 0...1 << 30),
        ]
        counts += request.ranges.compactMap { limit in
            Self.flagsOfEngineLimits[limit.name].map { ($0, limit.value, limit.range) }
        }
        for (name, value, range) in counts where !range.contains(value) {
            return "\(name) is \(value); it must be between \(range.lowerBound) and \(range.upperBound)"
        }
        return nil
    }

    /// The engine's limits, by the names that they have there.
    private static let flagsOfEngineLimits = [
        "samples": "max-n", "logprobs": "max-logprobs", "stop_strings": "max-stop-strings",
        "stop_string_bytes": "max-stop-bytes", "stop_tokens": "max-stop-tokens", "logit_biases": "max-logit-bias",
        "bad_words": "max-bad-words", "bad_word_tokens": "max-bad-word-tokens",
        "queued_requests": "max-queued-requests", "queued_prompt_tokens": "max-queued-prompt-tokens",
        "cache_salt_bytes": "max-cache-salt-bytes", "unread_bytes": "stream-buffer-bytes",
        "total_unread_bytes": "max-unread-bytes",
    ]

    var templateBudget: TemplateBudget {
        var budget = TemplateBudget()
        budget.steps = templateSteps
        budget.bytes = templateBytes
        return budget
    }

    /// The engine's share of them.
    public func apply(to options: inout EngineOptions) {
        options.limits = request
        options.limits.promptLogprobEntries = logprobEntries
        options.limits.unreadSeconds = stallSeconds
        options.templateBudget = templateBudget
    }
}
