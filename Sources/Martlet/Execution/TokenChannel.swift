// SPDX-License-Identifier: Apache-2.0

import MartletCompute
import Synchronization

/// Something that the engine says of a request.
package struct TokenEvent {
    package enum Kind: Equatable {
        /// The prompt's next token was scored: `logprob` is its, `token` the likeliest.
        case scored
        /// The answer's next token.
        case token
        case finished(GenerationSummary.FinishReason)
    }

    package let kind: Kind
    package let sample: Int32
    package var token: Int32 = 0
    package var logprob: Float = 0
    /// The time of the step that brought it.
    let time: ContinuousClock.Instant
}

/// Why a channel has no more events.
package enum ChannelEnd: UInt8 {
    case open
    /// All samples are finished.
    case finished
    case cancelled
    case slowReader
    case notFinite
    case nothingAllowed
    case stepFailed
    case stalled
    case stopped
    case deviceLost
}

/// Bytes that all channels of an engine hold for readers that have fallen behind.
package final class UnreadBudget: Sendable {
    private let limit: Int
    private let held = Atomic<Int>(0)

    package init(limit: Int) { self.limit = limit }

    /// False where there is no room for so much more.
    func take(_ bytes: Int) -> Bool {
        guard held.wrappingAdd(bytes, ordering: .relaxed).newValue > limit else { return true }
        give(bytes)
        return false
    }

    func give(_ bytes: Int) { held.wrappingSubtract(bytes, ordering: .relaxed) }
}

/// Events that one thread writes and one task reads.
///
/// Unchecked because it owns the ring's memory: entries before `written` belong to the reader, the others to the writer,
/// and the two counts order their accesses.
private final class EventRing: @unchecked Sendable {
    let capacity: Int
    private let topStride: Int
    private let events: UnsafeMutablePointer<TokenEvent>
    private let top: UnsafeMutablePointer<TokenLogprob>
    private let written = Atomic<Int>(0)
    private let read = Atomic<Int>(0)
    /// Where the writer went on once this one was full. It never comes back.
    let next = AtomicLazyReference<EventRing>()
    /// Bytes that this ring took from the budget.
    private let bytes: Int
    private let budget: UnreadBudget?

    /// - Parameter budget: from which its memory was taken; nil for none.
    init(capacity: Int, topStride: Int, bytes: Int, budget: UnreadBudget?) {
        self.capacity = capacity
        self.topStride = topStride
        self.bytes = bytes
        self.budget = budget
        events = .allocate(capacity: capacity)
        top = .allocate(capacity: max(1, capacity * topStride))
    }

    deinit {
        events.deallocate()
        top.deallocate()
        budget?.give(bytes)
    }

    /// False where there is no room.
    func push(_ event: TokenEvent, top likeliest: ArraySlice<TokenLogprob>) -> Bool {
        let index = written.load(ordering: .relaxed)
        guard index - read.load(ordering: .acquiring) < capacity else { return false }
        (events + index % capacity).initialize(to: event)
        let first = top + index % capacity * topStride
        for offset in 0..<topStride {
            let index = likeliest.startIndex + offset
            first[offset] = index < likeliest.endIndex ? likeliest[index] : TokenLogprob(token: -1, logprob: 0)
        }
        written.store(index + 1, ordering: .sequentiallyConsistent)
        return true
    }

    var isEmpty: Bool { written.load(ordering: .sequentiallyConsistent) == read.load(ordering: .relaxed) }

    func peek() -> TokenEvent? {
        let index = read.load(ordering: .relaxed)
        return index < written.load(ordering: .acquiring) ? events[index % capacity] : nil
    }

    func take() -> [TokenLogprob] {
        let index = read.load(ordering: .relaxed)
        let likeliest = Array(UnsafeBufferPointer(start: top + index % capacity * topStride, count: topStride))
        read.store(index + 1, ordering: .releasing)
        return likeliest.filter { $0.token >= 0 }
    }
}

/// Events that a request's reader hasn't read yet.
///
/// The engine's thread writes them into a ring, and into larger rings while the reader is behind. One task reads them.
///
/// The writer never waits. A reader that takes nothing for a time while it is behind is cut off; one that takes
/// something, however slowly, is not. The first thread that closes a channel decides how it ends.
///
/// Unchecked because `tail` and what follows it belong to the writer, `head` to the reader, and `waiter` to the thread
/// that sets `isWaiting` from true to false.
package final class TokenChannel: @unchecked Sendable {
    /// Likeliest tokens kept with each event.
    private let topStride: Int
    private var head: EventRing
    private var tail: EventRing
    private let first: EventRing
    private let budget: UnreadBudget
    /// How long a reader that is behind may take nothing.
    private let patience: Duration
    private let taken = Atomic<Int>(0)
    private var takenBefore = -1
    private var lastProgress = ContinuousClock.now
    private let endCode = Atomic<UInt8>(ChannelEnd.open.rawValue)
    private let isWaiting = Atomic<Bool>(false)
    private var waiter: UnsafeContinuation<Void, Never>?
    /// Prompt tokens that were found in the cache.
    let cachedTokens = Atomic<Int>(0)
    private let start = ContinuousClock.now
    /// Nanoseconds from the channel's start to the first step that computed of the request; negative before.
    private let queueNanoseconds = Atomic<Int>(-1)
    private let failure = Lock("")

    /// Has room for all the prompt's scores, and for what `unreadBytes` hold of the answers, or for two steps, before its
    /// reader counts as behind.
    ///
    /// - Parameters:
    ///   - budget: what rings for readers that are behind are taken from.
    ///   - patience: how long a reader that is behind may take nothing.
    package init(for request: ValidatedRequest, unreadBytes: Int, budget: UnreadBudget, patience: Duration) {
        topStride = max(request.answerLogprobs, request.promptLogprobs)
        let eventBytes = MemoryLayout<TokenEvent>.stride + topStride * MemoryLayout<TokenLogprob>.stride
        let events = request.sampleCount * (request.maxTokens + 1)
        let capacity =
            request.scoredPositions.count + max(4 * request.sampleCount, min(events, unreadBytes / eventBytes))
        first = EventRing(capacity: capacity, topStride: topStride, bytes: 0, budget: nil)
        head = first
        tail = first
        self.budget = budget
        self.patience = patience
    }

    /// Adds an event. False where the reader has taken nothing for too long, or where there is no memory left for it.
    func push(_ event: TokenEvent, top likeliest: ArraySlice<TokenLogprob> = []) -> Bool {
        let isFull = !tail.push(event, top: likeliest)
        if isFull || tail !== first {
            guard hasPatience(at: event.time) else { return false }
        }
        if isFull {
            guard let ring = grow() else { return false }
            _ = ring.push(event, top: likeliest)
        }
        wake()
        return true
    }

    private func hasPatience(at now: ContinuousClock.Instant) -> Bool {
        guard patience > .zero else { return false }
        let taken = taken.load(ordering: .relaxed)
        guard taken == takenBefore else {
            takenBefore = taken
            lastProgress = now
            return true
        }
        return now - lastProgress <= patience
    }

    /// A ring twice as large as the full one; nil where there is no memory left for it.
    private func grow() -> EventRing? {
        let capacity = tail.capacity * 2
        let bytes = capacity * (MemoryLayout<TokenEvent>.stride + topStride * MemoryLayout<TokenLogprob>.stride)
        guard budget.take(bytes) else { return nil }
        let ring = EventRing(capacity: capacity, topStride: topStride, bytes: bytes, budget: budget)
        _ = tail.next.storeIfNil(ring)
        tail = ring
        return ring
    }

    /// Ends the channel, unless it has ended. What was written before can still be read.
    func close(_ end: ChannelEnd, failure text: String = "") {
        if !text.isEmpty { failure.withLock { if $0.isEmpty { $0 = text } } }
        _ = endCode.compareExchange(
            expected: ChannelEnd.open.rawValue, desired: end.rawValue, ordering: .sequentiallyConsistent)
        wake()
    }

    package var end: ChannelEnd { ChannelEnd(rawValue: endCode.load(ordering: .sequentiallyConsistent)) ?? .stopped }
    package var failureText: String { failure.withLock { $0 } }

    /// A step computes of the request now.
    func noteScheduled(_ now: ContinuousClock.Instant) {
        guard queueNanoseconds.load(ordering: .relaxed) < 0 else { return }
        queueNanoseconds.store(Int(max(0, (now - start) / .nanoseconds(1))), ordering: .relaxed)
    }

    /// Seconds that the request waited for its first step; 0 where none has come.
    var queueSeconds: Double { Double(max(0, queueNanoseconds.load(ordering: .relaxed))) / 1e9 }

    /// Wakes the reader, whether or not there is news for it.
    func wake() {
        guard isWaiting.exchange(false, ordering: .sequentiallyConsistent) else { return }
        let woken = waiter
        waiter = nil
        woken?.resume()
    }

    /// The next event, for the reader alone.
    package func peek() -> TokenEvent? {
        if let event = head.peek() { return event }
        // The writer left the ring before it linked the next one: what it wrote to it is there to be seen now.
        while let next = head.next.load() {
            if let event = head.peek() { return event }
            head = next
        }
        return head.peek()
    }

    /// The likeliest tokens of the event that `peek` returns, and forgets the event.
    package func take() -> [TokenLogprob] {
        taken.wrappingAdd(1, ordering: .relaxed)
        return head.take()
    }

    /// Returns once there is an event or an end. For the reader alone.
    package func wait() async {
        await withUnsafeContinuation { continuation in
            waiter = continuation
            isWaiting.store(true, ordering: .sequentiallyConsistent)
            // The ring's indices are read by acquiring loads, which may pass a store that comes before them.
            atomicMemoryFence(ordering: .sequentiallyConsistent)
            if !head.isEmpty || head.next.load() != nil || end != .open { wake() }
        }
    }
}
