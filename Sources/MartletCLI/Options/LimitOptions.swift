// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import MartletServer

/// What clients may ask of a server at most.
struct LimitOptions: ParsableArguments {
    private static let limits = ServerLimits()

    @Option(parsing: .unconditional, help: "Bytes of a request's body.") var maxBodyBytes = limits.bodyBytes
    @Option(parsing: .unconditional, help: "How deep a body's JSON may nest.") var maxJsonDepth = limits.jsonDepth
    @Option(parsing: .unconditional, help: "Bytes of one header field.") var maxHeaderFieldBytes = limits
        .headerFieldBytes
    @Option(parsing: .unconditional, help: "Bytes of all header fields.") var maxHeaderBytes = limits.headerListBytes
    @Option(parsing: .unconditional, help: "Header fields.") var maxHeaderFields = limits.headerFields
    @Option(parsing: .unconditional, help: "Seconds that a whole header, and then a whole body, may take to come.")
    var readTimeout = limits.readSeconds
    @Option(parsing: .unconditional, help: "Connections at a time; more wait to be accepted.") var maxConnections =
        limits.connections
    @Option(parsing: .unconditional, help: "Requests that are served or wait to be; more get 503.")
    var maxQueuedRequests = limits.request.queuedRequests
    @Option(parsing: .unconditional, help: "Tokens of their prompts, all together.")
    var maxQueuedPromptTokens = limits.request.queuedPromptTokens
    @Option(parsing: .unconditional, help: "Answers to one prompt.") var maxN = limits.request.samples
    @Option(parsing: .unconditional, help: "Prompts of one request, and answers to all of them together.")
    var maxPrompts = limits.promptsPerRequest
    @Option(parsing: .unconditional, help: "Likeliest tokens reported with each token.") var maxLogprobs = limits
        .request.logprobs
    @Option(parsing: .unconditional, help: "Logprobs of an answer, all places and those of its prompts together.")
    var maxLogprobEntries = limits.logprobEntries
    @Option(parsing: .unconditional, help: "Logprobs of all answers that are being made at a time; more get 503.")
    var maxTotalLogprobEntries = limits.totalLogprobEntries
    @Option(parsing: .unconditional, help: "Bytes of prompts that an answer repeats by echo, all its samples together.")
    var maxEchoBytes = limits.echoBytes
    @Option(parsing: .unconditional, help: "Stop strings of a request.") var maxStopStrings = limits.request.stopStrings
    @Option(parsing: .unconditional, help: "Bytes of one of them.") var maxStopBytes = limits.request.stopStringBytes
    @Option(parsing: .unconditional, help: "Stop tokens of a request.") var maxStopTokens = limits.request.stopTokens
    @Option(parsing: .unconditional, help: "Words that an answer must not hold.") var maxBadWords = limits.request
        .badWords
    @Option(parsing: .unconditional, help: "Tokens of one of them.") var maxBadWordTokens = limits.request.badWordTokens
    @Option(parsing: .unconditional, help: "Bytes of a cache salt.") var maxCacheSaltBytes = limits.request
        .cacheSaltBytes
    @Option(parsing: .unconditional, help: "Tokens of a logit bias.") var maxLogitBias = limits.request.logitBiases
    @Option(parsing: .unconditional, help: "Steps of rendering a chat template.") var maxTemplateSteps = limits
        .templateSteps
    @Option(parsing: .unconditional, help: "Bytes of text that rendering one makes.") var maxTemplateBytes = limits
        .templateBytes
    @Option(
        parsing: .unconditional, help: "Unread bytes of an answer from which on --stall-timeout counts.")
    var streamBufferBytes = limits.request.unreadBytes
    @Option(
        parsing: .unconditional,
        help: "Bytes kept for all clients that are behind; where they don't suffice, clients are cut off.")
    var maxUnreadBytes = limits.request.totalUnreadBytes
    @Option(parsing: .unconditional, help: "Seconds that a client may take nothing of what is sent.") var stallTimeout =
        limits.stallSeconds
    @Option(
        parsing: .unconditional, help: "Seconds that a request may take altogether; as many as it needs by default.")
    var requestTimeout: Double?
    @Option(parsing: .unconditional, help: "Seconds between two comments that keep a silent stream alive.")
    var keepAliveInterval = limits.keepAliveSeconds
    @Option(parsing: .unconditional, help: "Seconds that rendering and tokenizing a request's texts may take.")
    var tokenizeTimeout = limits
        .tokenizeSeconds
    @Option(parsing: .unconditional, help: "Seconds that requests under way are given when the server is told to stop.")
    var drainTimeout = limits.drainSeconds

    func validate() throws {
        if let fault = limits.fault { throw ValidationError("--\(fault)") }
    }

    var limits: ServerLimits {
        var limits = ServerLimits()
        limits.bodyBytes = maxBodyBytes
        limits.jsonDepth = maxJsonDepth
        limits.headerFieldBytes = maxHeaderFieldBytes
        limits.headerListBytes = maxHeaderBytes
        limits.headerFields = maxHeaderFields
        limits.readSeconds = readTimeout
        limits.connections = maxConnections
        limits.request.queuedRequests = maxQueuedRequests
        limits.request.queuedPromptTokens = maxQueuedPromptTokens
        limits.request.samples = maxN
        limits.promptsPerRequest = maxPrompts
        limits.request.logprobs = maxLogprobs
        limits.logprobEntries = maxLogprobEntries
        limits.request.stopStrings = maxStopStrings
        limits.request.stopTokens = maxStopTokens
        limits.request.badWords = maxBadWords
        limits.request.badWordTokens = maxBadWordTokens
        limits.request.cacheSaltBytes = maxCacheSaltBytes
        limits.request.stopStringBytes = maxStopBytes
        limits.request.logitBiases = maxLogitBias
        limits.templateSteps = maxTemplateSteps
        limits.templateBytes = maxTemplateBytes
        limits.request.unreadBytes = streamBufferBytes
        limits.request.totalUnreadBytes = maxUnreadBytes
        limits.totalLogprobEntries = maxTotalLogprobEntries
        limits.echoBytes = maxEchoBytes
        limits.stallSeconds = stallTimeout
        limits.requestSeconds = requestTimeout
        limits.keepAliveSeconds = keepAliveInterval
        limits.tokenizeSeconds = tokenizeTimeout
        limits.drainSeconds = drainTimeout
        return limits
    }
}
