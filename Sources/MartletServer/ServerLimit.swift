// SPDX-License-Identifier: Apache-2.0

import Martlet

/// One of the server's limits: what its flag is called, what it bounds, and which values it may have. Whatever prints,
/// checks or sets limits goes by the table `all`.
public struct ServerLimit: Sendable {
    /// Where the limit is kept, and the values that can be enforced.
    public enum Value: Sendable {
        case count(WritableKeyPath<ServerLimits, Int> & Sendable, ClosedRange<Int>)
        case seconds(WritableKeyPath<ServerLimits, Double> & Sendable, ClosedRange<Double>)
        /// nil: no limit.
        case optionalSeconds(WritableKeyPath<ServerLimits, Double?> & Sendable, ClosedRange<Double>)
    }

    /// Its flag, without dashes.
    public let name: String
    /// What it bounds, for people.
    public let help: String
    public let value: Value

    private static let times = 0.01...86_400.0
    private static let counts = 1...1 << 30

    private init(_ name: String, _ value: Value, _ help: String) {
        self.name = name
        self.value = value
        self.help = help
    }

    private init(
        _ name: String, _ path: WritableKeyPath<ServerLimits, Int> & Sendable, _ help: String,
        in range: ClosedRange<Int> = counts
    ) {
        self.init(name, .count(path, range), help)
    }

    private init(
        seconds name: String, _ path: WritableKeyPath<ServerLimits, Double> & Sendable, _ help: String,
        in range: ClosedRange<Double> = times
    ) {
        self.init(name, .seconds(path, range), help)
    }

    /// The value that `limits` has for it, for people.
    public func text(in limits: ServerLimits) -> String {
        switch value {
        case .count(let path, _): "\(limits[keyPath: path])"
        case .seconds(let path, _): "\(limits[keyPath: path])"
        case .optionalSeconds(let path, _): limits[keyPath: path].map { "\($0)" } ?? "none"
        }
    }

    /// What is wrong with this limit's value in `limits`; nil where nothing is.
    public func fault(in limits: ServerLimits) -> String? {
        switch value {
        case .count(let path, let range):
            range.contains(limits[keyPath: path])
                ? nil
                : "\(name) is \(limits[keyPath: path]); it must be between \(range.lowerBound) and \(range.upperBound)"
        case .seconds(let path, let range): fault(limits[keyPath: path], range)
        case .optionalSeconds(let path, let range): limits[keyPath: path].flatMap { fault($0, range) }
        }
    }

    private func fault(_ seconds: Double, _ range: ClosedRange<Double>) -> String? {
        if range.contains(seconds) { return nil }
        let least = range.lowerBound == 0 ? "0" : "\(range.lowerBound)"
        return "\(name) is \(seconds); it must be \(least) seconds to a day"
    }

    public static let all: [ServerLimit] = [
        ServerLimit("max-body-bytes", \.bodyBytes, "Bytes of a request's body."),
        ServerLimit("max-json-depth", \.jsonDepth, "How deep a body's JSON may nest.", in: 1...256),
        ServerLimit("max-header-field-bytes", \.headerFieldBytes, "Bytes of one header field."),
        ServerLimit("max-header-bytes", \.headerListBytes, "Bytes of all header fields."),
        ServerLimit("max-header-fields", \.headerFields, "Header fields."),
        ServerLimit(
            seconds: "read-timeout", \.readSeconds,
            "Seconds that a whole header, and then a whole body, may take to come."),
        ServerLimit("max-connections", \.connections, "Connections at a time; more wait to be accepted."),
        ServerLimit(
            "max-queued-requests", \.request.queuedRequests, "Requests that are served or wait to be; more get 503.",
            in: RequestLimits.range(of: \.queuedRequests)),
        ServerLimit(
            "max-queued-prompt-tokens", \.request.queuedPromptTokens, "Tokens of their prompts, all together.",
            in: RequestLimits.range(of: \.queuedPromptTokens)),
        ServerLimit("max-n", \.request.samples, "Answers to one prompt.", in: RequestLimits.range(of: \.samples)),
        ServerLimit(
            "max-prompts", \.promptsPerRequest, "Prompts of one request, and answers to all of them together."),
        ServerLimit(
            "max-logprobs", \.request.logprobs, "Likeliest tokens reported with each token.",
            in: RequestLimits.range(of: \.logprobs)),
        // An answer's text, many bytes an entry, must still be one buffer.
        ServerLimit(
            "max-logprob-entries", \.logprobEntries,
            "Logprobs of an answer, all positions and those of its prompts together.", in: 0...1 << 24),
        ServerLimit(
            "max-total-logprob-entries", \.totalLogprobEntries,
            "Logprobs of all answers that are being made at a time; more get 503.", in: 0...1 << 24),
        ServerLimit(
            "max-echo-bytes", \.echoBytes, "Bytes of prompts that an answer repeats by echo, all its samples together.",
            in: 0...1 << 30),
        ServerLimit(
            "max-stop-strings", \.request.stopStrings, "Stop strings of a request.",
            in: RequestLimits.range(of: \.stopStrings)),
        ServerLimit(
            "max-stop-bytes", \.request.stopStringBytes, "Bytes of one of them.",
            in: RequestLimits.range(of: \.stopStringBytes)),
        ServerLimit(
            "max-stop-tokens", \.request.stopTokens, "Stop tokens of a request.",
            in: RequestLimits.range(of: \.stopTokens)),
        ServerLimit(
            "max-bad-words", \.request.badWords, "Words that an answer must not hold.",
            in: RequestLimits.range(of: \.badWords)),
        ServerLimit(
            "max-bad-word-tokens", \.request.badWordTokens, "Tokens of one of them.",
            in: RequestLimits.range(of: \.badWordTokens)),
        ServerLimit(
            "max-cache-salt-bytes", \.request.cacheSaltBytes, "Bytes of a cache salt.",
            in: RequestLimits.range(of: \.cacheSaltBytes)),
        ServerLimit(
            "max-logit-bias", \.request.logitBiases, "Tokens of a logit bias.",
            in: RequestLimits.range(of: \.logitBiases)),
        ServerLimit("max-template-steps", \.templateSteps, "Steps of rendering a chat template."),
        ServerLimit("max-template-bytes", \.templateBytes, "Bytes of text that rendering one makes."),
        ServerLimit(
            "stream-buffer-bytes", \.request.unreadBytes,
            "Unread bytes of an answer from which on --stall-timeout counts.",
            in: RequestLimits.range(of: \.unreadBytes)),
        ServerLimit(
            "max-unread-bytes", \.request.totalUnreadBytes,
            "Bytes kept for all clients that are behind; where they don't suffice, clients are cut off.",
            in: RequestLimits.range(of: \.totalUnreadBytes)),
        ServerLimit(
            seconds: "stall-timeout", \.stallSeconds, "Seconds that a client may take nothing of what is sent."),
        ServerLimit(
            "request-timeout", .optionalSeconds(\.requestSeconds, times),
            "Seconds that a request may take altogether; as many as it needs by default."),
        ServerLimit(
            seconds: "keep-alive-interval", \.keepAliveSeconds,
            "Seconds between two comments that keep a silent stream alive."),
        ServerLimit(
            seconds: "tokenize-timeout", \.tokenizeSeconds,
            "Seconds that rendering and tokenizing a request's texts may take."),
        ServerLimit(
            seconds: "drain-timeout", \.drainSeconds,
            "Seconds that requests under way are given when the server is told to stop.", in: 0...86_400),
    ]
}

extension ServerLimits {
    /// All of them, by the names of their flags.
    public var all: [(name: String, value: String)] { ServerLimit.all.map { ($0.name, $0.text(in: self)) } }

    /// Which of them can't be, for people; nil where all can.
    public var fault: String? {
        for limit in ServerLimit.all { if let fault = limit.fault(in: self) { return fault } }
        return nil
    }
}
