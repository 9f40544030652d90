// SPDX-License-Identifier: Apache-2.0

import DequeModule
import Dispatch
import Foundation
import MartletText
import Synchronization

/// Threads for what takes long on hostile input: parsing, rendering, tokenizing.
///
/// Several, so that one request's text keeps no other's waiting; few, so that answers under way keep the processor. Their
/// stacks have the size that recursion within the budgets needs. Work keeps its own deadline; work that doesn't end all the
/// same is abandoned, and a new thread takes its thread's place, until there are too many of those.
///
/// Short texts come first, and one thread is theirs alone: many long ones at a time don't hold them up.
package final class TextPool: Sendable {
    private struct Job: Sendable {
        let isLong: Bool
        let work: @Sendable () -> Void
        /// Answers for work that was never finished.
        let abandon: @Sendable (ServerError) -> Void
    }

    private struct State {
        var short = Deque<Job>()
        var long = Deque<Job>()
        /// Threads that have a long job, without those whose work was abandoned.
        var busyWithLong = 0
        /// Threads that wait or work, without those whose work was abandoned.
        var threads = 0
        var stuck = 0
        /// Whether no thread is left.
        var isStuck: Bool { threads == 0 && stuck > 0 }
        var queued: Int { short.count + long.count }

        /// The job that a thread does next.
        mutating func next() -> Job? {
            if let job = short.popFirst() { return job }
            guard busyWithLong < TextPool.threadCount - 1, let job = long.popFirst() else { return nil }
            busyWithLong += 1
            return job
        }

        mutating func takeAll() -> [Job] {
            defer {
                short.removeAll()
                long.removeAll()
            }
            return Array(short) + Array(long)
        }
    }

    private static let threadCount = max(2, min(4, ProcessInfo.processInfo.activeProcessorCount))
    /// Bytes of a request that is long.
    private static let leastLongBytes = 64 << 10
    /// Abandoned threads beside which new ones are started.
    private static let mostStuck = 4
    /// Seconds beyond its deadline after which work is taken to be stuck.
    private static let grace = 5.0

    private let queueLimit: Int
    private let seconds: Double
    private let state = Mutex(State())
    private let wakeUp = DispatchSemaphore(value: 0)

    /// - Parameters:
    ///   - queueLimit: requests that may wait for a thread.
    ///   - seconds: what a request's text work takes at most.
    package init(queueLimit: Int, seconds: Double) {
        self.queueLimit = queueLimit
        self.seconds = seconds
    }

    /// Whether so much work is stuck that no thread is left.
    package var isStuck: Bool { state.withLock { $0.isStuck } }
    /// Threads whose work was abandoned and hasn't ended.
    package var stuckCount: Int { state.withLock { $0.stuck } }

    /// - Parameter bytes: of the request that the work is for.
    /// - Throws: what `work` throws, or why it wasn't done.
    package func run<Result: Sendable>(
        bytes: Int = 0, _ work: @escaping @Sendable () throws -> Result
    ) async throws -> Result {
        try await withCheckedThrowingContinuation { continuation in
            let answer = OnceContinuation(continuation)
            let job = Job(isLong: bytes >= Self.leastLongBytes) {
                answer.resume(with: Swift.Result(catching: work))
            } abandon: {
                answer.resume(with: .failure($0))
            }
            if let refusal = add(job) { job.abandon(refusal) }
        }
    }

    /// - Returns: why the job isn't taken; nil where it is.
    private func add(_ job: Job) -> ServerError? {
        let (refusal, needsThread) = state.withLock { state -> (ServerError?, Bool) in
            guard state.queued < queueLimit else { return (.textOverloaded, false) }
            guard !state.isStuck else { return (.textStuck, false) }
            if job.isLong { state.long.append(job) } else { state.short.append(job) }
            guard state.threads < Self.threadCount, state.stuck <= Self.mostStuck else { return (nil, false) }
            state.threads += 1
            return (nil, true)
        }
        guard refusal == nil else { return refusal }
        if needsThread { startThread() }
        wakeUp.signal()
        return nil
    }

    /// Starts a thread that `State.threads` counts already. Where the system starts none and none is left, the jobs that
    /// wait are refused; the next job tries again.
    private func startThread() {
        guard !KnownStack.startThread({ [self] in while serve() {} }) else { return }
        let refused = state.withLock { state -> [Job] in
            state.threads -= 1
            return state.threads == 0 ? state.takeAll() : []
        }
        for job in refused { job.abandon(.textWithoutThread) }
    }

    /// Does one job. False where another thread has taken this one's place.
    private func serve() -> Bool {
        wakeUp.wait()
        guard let job = state.withLock({ $0.next() }) else { return true }
        let watched = WatchedJob()
        let timer = DispatchSource.makeTimerSource(queue: .global())
        timer.schedule(deadline: .now() + seconds + Self.grace)
        timer.setEventHandler { [self] in
            guard watched.settle() else { return }
            job.abandon(.textTimedOut)
            replaceThread()
            if job.isLong { endLong() }
        }
        timer.activate()
        job.work()
        timer.cancel()
        guard !watched.settle() else {
            if job.isLong { endLong() }
            return true
        }
        // It was given up and has ended after all. The thread goes on if none took its place.
        return state.withLock { state in
            state.stuck -= 1
            guard state.threads < Self.threadCount else { return false }
            state.threads += 1
            return true
        }
    }

    /// Another long job may begin.
    private func endLong() {
        let isAwaited = state.withLock { state in
            state.busyWithLong -= 1
            return !state.long.isEmpty
        }
        // A thread that found it waiting before has gone back to sleep.
        if isAwaited { wakeUp.signal() }
    }

    /// Starts a thread in the place of one whose work was abandoned, unless too many are stuck.
    private func replaceThread() {
        let (isReplaced, refused) = state.withLock { state -> (Bool, [Job]) in
            state.stuck += 1
            guard state.stuck > Self.mostStuck else { return (true, []) }
            state.threads -= 1
            return (false, state.isStuck ? state.takeAll() : [])
        }
        for job in refused { job.abandon(.textStuck) }
        if isReplaced { startThread() }
    }
}

/// A job that either ends or is abandoned, whichever comes first.
private final class WatchedJob: Sendable {
    private let isSettled = Atomic<Bool>(false)

    /// Whether this is the first of the two.
    func settle() -> Bool { !isSettled.exchange(true, ordering: .acquiringAndReleasing) }
}

/// A continuation of which the first result counts.
private final class OnceContinuation<Result: Sendable>: Sendable {
    private let continuation: Mutex<CheckedContinuation<Result, any Error>?>

    init(_ continuation: CheckedContinuation<Result, any Error>) { self.continuation = Mutex(continuation) }

    func resume(with result: Swift.Result<Result, any Error>) {
        continuation.withLock { slot -> CheckedContinuation<Result, any Error>? in
            defer { slot = nil }
            return slot
        }?.resume(with: result)
    }
}

extension ServerError {
    fileprivate static let textOverloaded = ServerError(
        .serviceUnavailable, "too many texts wait to be read already; try again later", code: "overloaded")
    fileprivate static let textStuck = ServerError(
        .serviceUnavailable, "the threads that read texts are stuck; try again later", code: "text_stuck")
    fileprivate static let textWithoutThread = ServerError(
        .serviceUnavailable, "the system starts no thread to read texts; try again later", code: "overloaded")
    fileprivate static let textTimedOut = ServerError(
        .badRequest, "the text takes too long to read; it was given up", code: "tokenize_timeout")
}
