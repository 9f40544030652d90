// SPDX-License-Identifier: Apache-2.0

import MartletCompute
import Synchronization

/// Something that the engine says of a request.
struct TokenEvent {
    enum Kind: Equatable {
        /// The prompt's next token was scored: `logprob` is its, `token` the likeliest.
        case scored
        /// The answer's next token.
        case token
        case finished(GenerationSummary.FinishReason)
    }

    let kind: Kind
    let sample: Int32
    var token: Int32 = 0
    var logprob: Float = 0
    /// Of the step that brought it.
    let time: ContinuousClock.Instant
}

/// Why a channel has no more events.
enum ChannelEnd: UInt8 {
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
}

/// What a request's reader hasn't read yet: a ring that the engine's thread writes and one task reads.
///
/// The writer never waits: a full ring says so. Whoever closes a channel first, from any thread, decides how it ends.
///
/// Unchecked because it owns the ring's memory: entries before `written` belong to the reader, the others to the writer,
/// and the two counts order their accesses. `waiter` belongs to whoever sets `isWaiting` from true to false.
final class TokenChannel: @unchecked Sendable {
    private let capacity: Int
    /// Likeliest tokens kept with each event.
    private let topStride: Int
    private let events: UnsafeMutablePointer<TokenEvent>
    private let top: UnsafeMutablePointer<TokenLogprob>
    private let written = Atomic<Int>(0)
    private let read = Atomic<Int>(0)
    private let endCode = Atomic<UInt8>(ChannelEnd.open.rawValue)
    private let isWaiting = Atomic<Bool>(false)
    private var waiter: UnsafeContinuation<Void, Never>?
    /// Prompt tokens that were found in the cache.
    let cachedTokens = Atomic<Int>(0)
    private let start = ContinuousClock.now
    /// Nanoseconds from the channel's start to the first step that computed of the request; negative before.
    private let queueNanoseconds = Atomic<Int>(-1)
    private let failure = Mutex("")

    /// Has room for all the prompt's scores, and for what `unreadBytes` hold of the answers, or for two steps.
    init(for request: ValidatedRequest, unreadBytes: Int) {
        topStride = max(request.answerLogprobs, request.promptLogprobs)
        let eventBytes = MemoryLayout<TokenEvent>.stride + topStride * MemoryLayout<TokenLogprob>.stride
        let events = request.sampleCount * (request.maxTokens + 1)
        capacity = request.scoredPositions.count + max(4 * request.sampleCount, min(events, unreadBytes / eventBytes))
        self.events = .allocate(capacity: capacity)
        top = .allocate(capacity: max(1, capacity * topStride))
    }

    deinit {
        events.deallocate()
        top.deallocate()
    }

    /// Adds an event. False where there is no room for it.
    func push(_ event: TokenEvent, top likeliest: ArraySlice<TokenLogprob> = []) -> Bool {
        let place = written.load(ordering: .relaxed)
        guard place - read.load(ordering: .acquiring) < capacity else { return false }
        (events + place % capacity).initialize(to: event)
        let first = top + place % capacity * topStride
        for offset in 0..<topStride {
            let index = likeliest.startIndex + offset
            first[offset] = index < likeliest.endIndex ? likeliest[index] : TokenLogprob(token: -1, logprob: 0)
        }
        written.store(place + 1, ordering: .sequentiallyConsistent)
        wake()
        return true
    }

    /// Ends the channel, unless it has ended. What was written before can still be read.
    func close(_ end: ChannelEnd, failure text: String = "") {
        if !text.isEmpty { failure.withLock { if $0.isEmpty { $0 = text } } }
        _ = endCode.compareExchange(
            expected: ChannelEnd.open.rawValue, desired: end.rawValue, ordering: .sequentiallyConsistent)
        wake()
    }

    var end: ChannelEnd { ChannelEnd(rawValue: endCode.load(ordering: .sequentiallyConsistent)) ?? .stopped }
    var failureText: String { failure.withLock { $0 } }

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
    func peek() -> TokenEvent? {
        let place = read.load(ordering: .relaxed)
        return place < written.load(ordering: .acquiring) ? events[place % capacity] : nil
    }

    /// The likeliest tokens of the event that `peek` returns, and forgets the event.
    func take() -> [TokenLogprob] {
        let place = read.load(ordering: .relaxed)
        let likeliest = Array(UnsafeBufferPointer(start: top + place % capacity * topStride, count: topStride))
        read.store(place + 1, ordering: .releasing)
        return likeliest.filter { $0.token >= 0 }
    }

    /// Returns once there is an event or an end. For the reader alone.
    func wait() async {
        await withUnsafeContinuation { continuation in
            waiter = continuation
            isWaiting.store(true, ordering: .sequentiallyConsistent)
            let hasNews =
                written.load(ordering: .sequentiallyConsistent) != read.load(ordering: .relaxed) || end != .open
            if hasNews { wake() }
        }
    }
}
