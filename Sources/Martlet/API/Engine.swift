// SPDX-License-Identifier: Apache-2.0

import Foundation
public import MartletText
import Synchronization

/// A loaded model that answers many requests at a time.
///
/// ```swift
/// let engine = try await Engine.load("model.gguf")
/// for try await piece in try engine.generate("Once upon a time") {
///     print(piece.text, terminator: "")
/// }
/// ```
///
/// The model's state lives on a thread of its own. What a request is answered depends on itself alone, bit for bit,
/// whatever else is served beside it. An engine that is let go of ends once it has served what it was asked.
public final class Engine: Sendable {
    /// The model, its tokenizer and its cache's size.
    public let model: LoadedModel
    private let validator: RequestValidator
    private let mailbox: Mailbox
    private let counters: EngineCounters
    private let watchdog: Watchdog
    private let lifetime: EngineLifetime
    private let unread: UnreadBudget
    private let nextID = Atomic<UInt64>(0)

    private init(
        model: LoadedModel, validator: RequestValidator, mailbox: Mailbox, counters: EngineCounters,
        lifetime: EngineLifetime, watchdog: Watchdog
    ) {
        self.model = model
        self.validator = validator
        self.mailbox = mailbox
        self.counters = counters
        self.lifetime = lifetime
        self.watchdog = watchdog
        unread = UnreadBudget(limit: validator.limits.totalUnreadBytes)
    }

    deinit { mailbox.post(.stop) }

    /// Loads a GGUF file.
    ///
    /// - Parameters:
    ///   - path: the file; with `LoadFormat.dummy` also a `config.json` or its folder.
    ///   - options: how the engine is set up.
    ///   - progress: called from the engine's thread with the fraction loaded, at most a hundred times, the last time with 1.
    /// - Throws: `EngineError`, whose code says whether the file, the model, the options or the machine are at fault.
    public static func load(
        _ path: String, options: EngineOptions = EngineOptions(),
        progress: (@Sendable (Double) -> Void)? = nil
    ) async throws(EngineError) -> Engine {
        do {
            return try await start(options) {
                try ModelLoader(path: path, options: options).load(progress: progress.map { LoadProgress($0).report })
            }
        } catch {
            throw EngineError(error)
        }
    }

    /// Serves what `load` returns, on a thread of its own that calls it.
    package static func start(
        _ options: EngineOptions, load: @escaping @Sendable () throws -> LoadedEngine
    ) async throws -> Engine {
        let (mailbox, counters, lifetime) = (Mailbox(), EngineCounters(), EngineLifetime())
        let watchdog = Watchdog(counters: counters, mailbox: mailbox, timeout: options.watchdogSeconds)
        let (model, validator) = try await withCheckedThrowingContinuation {
            (continuation: CheckedContinuation<(LoadedModel, RequestValidator), any Error>) in
            let isStarted = KnownStack.startThread {
                // The system's own name of the thread, which those of the device inherit: `Thread.name` races with the start.
                try? Data("martlet-engine".utf8).write(to: URL(fileURLWithPath: "/proc/thread-self/comm"))
                do {
                    guard watchdog.start() else {
                        throw EngineError(
                            .invalidOptions, "the system starts no thread to watch the engine: raise ulimit -u")
                    }
                    defer { watchdog.stop() }
                    let loaded = try load()
                    let loop = EngineLoop(
                        scheduler: loaded.scheduler, runner: loaded.runner, mailbox: mailbox, counters: counters,
                        lifetime: lifetime, trace: loaded.trace)
                    continuation.resume(returning: (loaded.model, loaded.validator))
                    loop.run()
                } catch {
                    continuation.resume(throwing: error)
                }
                lifetime.end()
            }
            if !isStarted {
                continuation.resume(
                    throwing: EngineError(
                        .invalidOptions, "the system starts no thread for the engine: raise ulimit -u"))
            }
        }
        return Engine(
            model: model, validator: validator, mailbox: mailbox, counters: counters, lifetime: lifetime,
            watchdog: watchdog)
    }

    /// Generates from token ids. Cancelling the consuming task, or letting go of the stream, ends it within a step.
    public func generate(_ request: GenerationRequest) throws(EngineError) -> GenerationStream {
        try submit(validator.validate(request))
    }

    /// Continues a text.
    ///
    /// - Parameters:
    ///   - prompt: the text.
    ///   - parsingSpecials: whether control tokens that the text spells, such as `<|im_end|>`, become those tokens, as a
    ///     prompt written for the model means them. Never for text from a stranger.
    ///   - sampling: how the answer is drawn and ended.
    public func generate(
        _ prompt: String, parsingSpecials: Bool, sampling: SamplingParameters = SamplingParameters()
    ) throws(EngineError) -> GenerationStream {
        try generate(PromptText(prompt, parsingSpecials: parsingSpecials), sampling: sampling)
    }

    /// Continues a prompt that knows which of its bytes a user wrote: those become no control tokens. What a literal
    /// interpolates counts as a user's.
    public func generate(
        _ prompt: PromptText, sampling: SamplingParameters = SamplingParameters()
    ) throws(EngineError) -> GenerationStream {
        let tokens = model.text.tokens(of: prompt)
        return try generate(GenerationRequest(promptTokens: tokens, sampling: sampling))
    }

    /// Answers a conversation, by the model's own chat template.
    ///
    /// - Parameters:
    ///   - messages: the turns so far, the newest last.
    ///   - tools: functions that the model may ask to have called, each as OpenAI's `tools` describe one. What the answer
    ///     asks for stands in its text, as the model writes it.
    ///   - variables: what else the template reads, such as `enable_thinking`.
    ///   - sampling: how the answer is drawn and ended.
    public func generate(
        _ messages: [ChatMessage], tools: [JSONValue] = [], variables: [String: JSONValue] = [:],
        sampling: SamplingParameters = SamplingParameters()
    ) throws(EngineError) -> GenerationStream {
        let tokens = try model.tokens(of: messages, tools: tools, variables: variables)
        return try generate(GenerationRequest(promptTokens: tokens, sampling: sampling))
    }

    /// What the model thinks of tokens given all before them: one score for each token after `firstPosition`.
    ///
    /// - Parameters:
    ///   - tokens: the text, as the model reads it.
    ///   - firstPosition: the first position whose next token is scored.
    /// - Throws: `EngineError`; `CancellationError` where the task is cancelled.
    public func score(_ tokens: [Int32], from firstPosition: Int = 0) async throws -> [TokenScore] {
        var sampling = SamplingParameters.greedy
        sampling.maxTokens = 0
        sampling.promptLogprobs = 0
        let request = GenerationRequest(promptTokens: tokens, sampling: sampling)
        guard tokens.isEmpty || (firstPosition >= 0 && firstPosition < tokens.count - 1) else {
            throw EngineError(.invalidRequest, "position \(firstPosition) has no next token", field: "firstPosition")
        }
        var scores: [TokenScore] = []
        for try await piece in try submit(validator.validate(request, firstScoredPosition: firstPosition)) {
            scores += piece.promptScores
        }
        try Task.checkCancellation()
        return scores
    }

    private func submit(_ request: ValidatedRequest) throws(EngineError) -> GenerationStream {
        let promptTokens = request.promptTokens.count
        let limits = validator.limits
        if let failure = lifetime.failure { throw .deviceLost(failure.message) }
        guard !lifetime.isDraining else {
            throw EngineError(.stopped, "the engine \(lifetime.hasEnded ? "has stopped" : "is stopping")")
        }
        guard !watchdog.isStalled else { throw EngineError(.stalled, "the engine makes no progress; try again later") }
        let requests = counters.requests.wrappingAdd(1, ordering: .relaxed).newValue
        let tokens = counters.requestedPromptTokens.wrappingAdd(promptTokens, ordering: .relaxed).newValue
        func withdraw() {
            counters.requests.wrappingSubtract(1, ordering: .relaxed)
            counters.requestedPromptTokens.wrappingSubtract(promptTokens, ordering: .relaxed)
        }
        guard requests <= limits.queuedRequests, tokens <= limits.queuedPromptTokens else {
            withdraw()
            throw EngineError(
                .overloaded,
                "\(requests - 1) requests of \(tokens - promptTokens) prompt tokens are waiting already; try again later"
            )
        }
        let id = RequestID(nextID.wrappingAdd(1, ordering: .relaxed).newValue)
        let channel = TokenChannel(
            for: request, unreadBytes: limits.unreadBytes, budget: unread,
            patience: .seconds(limits.unreadSeconds))
        watchdog.watch(channel, of: id)
        guard mailbox.post(.add(id, request, channel)) else {
            withdraw()
            throw EngineError(.stopped, "the engine has stopped")
        }
        return GenerationStream(request, tokenizer: model.tokenizer, channel: channel) { [mailbox] sample in
            mailbox.post(.cancel(id, sample: sample))
        }
    }

    /// Counts of what the engine is doing and has done.
    public var statistics: EngineStatistics { EngineStatistics(counters, blocks: model.cacheBlocks) }

    /// Whether it takes requests.
    public var health: EngineHealth {
        if lifetime.failure != nil { return .failed }
        if lifetime.hasEnded { return .stopped }
        if watchdog.isStalled { return .stalled }
        return lifetime.isDraining ? .draining : .ready
    }

    /// Returns when the engine's thread has ended.
    ///
    /// - Throws: `EngineError.Code.deviceLost` where it ended by itself.
    public func waitForEnd() async throws(EngineError) {
        await lifetime.waitForEnd()
        if let failure = lifetime.failure { throw .deviceLost(failure.message) }
    }

    /// Returns once there is nothing left to do, not even for requests to come, or its task is cancelled: what is measured
    /// then has the machine to itself.
    package func settle() async {
        while !mailbox.isAwaited {
            do { try await Task.sleep(for: .milliseconds(1)) } catch { return }
        }
    }

    /// Refuses new requests, serves those it has, cancels what isn't finished in time, and returns when the engine's
    /// thread has ended. A step under way can't be interrupted.
    public func stop(drain: Duration = .seconds(30)) async {
        lifetime.beginDraining()
        mailbox.post(.stop)
        let deadline = Task { [mailbox] in
            try await Task.sleep(for: drain)
            mailbox.post(.cancelAll(.stopped))
        }
        await lifetime.waitForEnd()
        deadline.cancel()
    }
}
