// SPDX-License-Identifier: Apache-2.0

import MartletText
import Synchronization

/// A request's answers as they are generated.
///
/// It is read once. Letting go of it, or cancelling the task that reads it, ends the request within a step; the reader
/// that was cancelled sees the stream end, without a summary. Who leaves
/// more unread than `RequestLimits.unreadBytes` is cut off with an error: the engine never waits for a reader.
public struct GenerationStream: AsyncSequence, Sendable {
    public typealias Element = GenerationPiece
    public typealias Failure = any Error

    private let subscription: Subscription

    init(
        _ request: ValidatedRequest, tokenizer: Tokenizer, channel: TokenChannel,
        end: @escaping @Sendable (Int?) -> Void
    ) {
        subscription = Subscription(request: request, tokenizer: tokenizer, channel: channel, end: end)
    }

    public func makeAsyncIterator() -> Iterator { Iterator(subscription) }

    /// Reads to the end: one answer for each sample. Throws `CancellationError` where the reading task is cancelled.
    public func answers() async throws -> [GeneratedAnswer] {
        var answers = [GeneratedAnswer](repeating: GeneratedAnswer(), count: subscription.request.sampleCount)
        for try await piece in self {
            answers[piece.sample].text += piece.text
            answers[piece.sample].tokens += piece.tokens
            answers[piece.sample].logprobs += piece.logprobs
            answers[piece.sample].topLogprobs += piece.topLogprobs
            answers[piece.sample].promptScores += piece.promptScores
            if let summary = piece.summary { answers[piece.sample].summary = summary }
        }
        try Task.checkCancellation()
        return answers
    }

    public struct Iterator: AsyncIteratorProtocol {
        private let subscription: Subscription
        private var assembler: AnswerAssembler
        private let isFirst: Bool

        fileprivate init(_ subscription: Subscription) {
            self.subscription = subscription
            assembler = AnswerAssembler(
                request: subscription.request, tokenizer: subscription.tokenizer, start: subscription.start)
            isFirst = subscription.claim()
        }

        public mutating func next() async throws -> GenerationPiece? {
            guard isFirst else { throw EngineError(.invalidRequest, "a stream of answers is read once") }
            let channel = subscription.channel
            while !assembler.isComplete {
                if Task.isCancelled { subscription.cancel() }
                let end = channel.end
                if end == .cancelled { return nil }
                if let piece = assembler.next(from: channel) {
                    if let sample = assembler.takeStoppedSample() { subscription.end(sample: sample) }
                    return piece
                }
                // The end was looked at first: what it found then is all there will be.
                if end != .open { return try Self.result(of: end, channel) }
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
