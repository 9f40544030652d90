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
