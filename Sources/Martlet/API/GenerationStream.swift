// SPDX-License-Identifier: Apache-2.0

import MartletText
import Synchronization

/// A request's answers as they are generated.
///
/// It is read once. Letting go of it, or cancelling the task that reads it, ends the request within a step. A task that was
/// cancelled gets a `CancellationError`; where `cancel()` ended the request, each answer that wasn't finished ends with a
/// summary whose reason is `cancelled`. A reader that leaves more unread than
/// `RequestLimits.unreadBytes` and takes nothing for `unreadSeconds` is cut off with an error: the engine never waits for
/// a reader.
public struct GenerationStream: AsyncSequence, Sendable {
    public typealias Element = GenerationPiece
    public typealias Failure = any Error

    private let subscription: Subscription
    private var heartbeat: Duration?

    init(
        _ request: ValidatedRequest, tokenizer: Tokenizer, channel: TokenChannel,
        end: @escaping @Sendable (Int?) -> Void
    ) {
        subscription = Subscription(request: request, tokenizer: tokenizer, channel: channel, end: end)
    }

    /// The same stream, in which an empty piece comes where nothing else did for so long: a sign of life to pass on.
    public func heartbeats(every interval: Duration) -> GenerationStream {
        var stream = self
        stream.heartbeat = interval
        return stream
    }

    /// Ends the request within a step, from any task. The stream's reader gets a summary for each answer that wasn't
    /// finished, with the reason `cancelled`.
    public func cancel() { subscription.cancel() }

    /// The only iterator that gets pieces is the first.
    public func makeAsyncIterator() -> Iterator { Iterator(subscription, heartbeat: heartbeat) }

    /// Reads to the end: one answer for each sample. Throws `CancellationError` where the reading task is cancelled.
    public func answers() async throws -> [GeneratedAnswer] {
        var answers = [GeneratedAnswer](repeating: GeneratedAnswer(), count: subscription.request.sampleCount)
        for try await piece in self { answers[piece.sample].append(piece) }
        return answers
    }

    /// Reads the pieces in order.
    public struct Iterator: AsyncIteratorProtocol {
        private let subscription: Subscription
        private var assembler: AnswerAssembler
        private let isFirst: Bool
        private let ticker: Ticker?
        private var lastPiece = ContinuousClock.now

        fileprivate init(_ subscription: Subscription, heartbeat: Duration?) {
            self.subscription = subscription
            ticker = heartbeat.map { Ticker(every: $0, waking: subscription.channel) }
            assembler = AnswerAssembler(
                request: subscription.request, tokenizer: subscription.tokenizer, start: subscription.start)
            isFirst = subscription.claim()
        }

        /// The next piece; nil behind the last.
        ///
        /// - Throws: `EngineError` where serving the request failed, `CancellationError` where the task is cancelled.
        public mutating func next() async throws -> GenerationPiece? {
            guard isFirst else { throw EngineError(.invalidRequest, "a stream of answers is read once") }
            let channel = subscription.channel
            while !assembler.isComplete {
                if Task.isCancelled {
                    subscription.cancel()
                    throw CancellationError()
                }
                let end = channel.end
                if end == .cancelled { return assembler.nextCancelled(channel) }
                if let piece = assembler.next(from: channel) {
                    if let sample = assembler.takeStoppedSample() { subscription.end(sample: sample) }
                    if ticker != nil { lastPiece = .now }
                    return piece
                }
                // The end was looked at first: what it found then is all there will be.
                if end != .open { return try Self.result(of: end, channel) }
                if let ticker, case let now = ContinuousClock.now, now - lastPiece >= ticker.interval {
                    lastPiece = now
                    return GenerationPiece()
                }
                await withTaskCancellationHandler {
                    await channel.wait()
                } onCancel: { [subscription] in
                    subscription.cancel()
                }
            }
            return nil
        }

        private static func result(of end: ChannelEnd, _ channel: TokenChannel) throws -> GenerationPiece? {
            guard let error = EngineError(of: end, detail: channel.failureText) else { return nil }
            throw error
        }
    }
}

/// Wakes a channel's reader again and again, for as long as it is held.
private final class Ticker: Sendable {
    let interval: Duration
    private let task: Task<Void, any Error>

    init(every interval: Duration, waking channel: TokenChannel) {
        self.interval = interval
        task = Task { [weak channel] in
            while true {
                try await Task.sleep(for: interval)
                guard let channel else { return }
                channel.wake()
            }
        }
    }

    deinit { task.cancel() }
}

/// What stands behind a stream and its iterator; with the last of them the request ends.
private final class Subscription: Sendable {
    let request: ValidatedRequest
    let tokenizer: Tokenizer
    let channel: TokenChannel
    let start = ContinuousClock.now
    private let isClaimed = Atomic<Bool>(false)
    /// Tells the engine that the request, or one sample of it, is no longer wanted.
    private let tell: @Sendable (Int?) -> Void

    init(
        request: ValidatedRequest, tokenizer: Tokenizer, channel: TokenChannel, end: @escaping @Sendable (Int?) -> Void
    ) {
        self.request = request
        self.tokenizer = tokenizer
        self.channel = channel
        tell = end
    }

    deinit { cancel() }

    func claim() -> Bool { !isClaimed.exchange(true, ordering: .relaxed) }

    func cancel() {
        guard channel.end == .open else { return }
        channel.close(.cancelled)
        tell(nil)
    }

    func end(sample: Int) { tell(sample) }
}
