// SPDX-License-Identifier: Apache-2.0

import CMartletKernels
import Dispatch
import Glibc
import MartletCompute
import Synchronization

/// Work in phases: all chunks of one are done before any of the next begins.
protocol PhasedJob: AnyObject, Sendable {
    /// Asked for once a run.
    var phaseCount: Int { get }
    /// How many chunks a phase of this run has; more than `WorkerPool.maximumChunks` are not allowed.
    func chunkCount(phase: Int) -> Int
    func run(phase: Int, chunk: Int, of chunkCount: Int, worker: Int)
    /// Called by a thread that waits for others to end a phase, with steps from 0 on until it returns false: a moment to
    /// have memory read that phases to come will want.
    func prepare(after phase: Int, worker: Int, step: Int) -> Bool
}

extension PhasedJob {
    func prepare(after phase: Int, worker: Int, step: Int) -> Bool { false }
}

/// Threads that claim the chunks of a job's phases. The caller works too.
///
/// Nobody waits for a thread that has claimed nothing, so one that the scheduler took away, or that wakes late, costs
/// its share and no stall. A whole job costs one wake-up; between phases threads spin, yielding every 64 turns. A phase
/// of one chunk is run by whoever finished the phase before it, so that little work in between costs no barrier of its
/// own.
final class WorkerPool: Sendable {
    static let maximumChunks = 0xffff

    let threadCount: Int
    private let state: PoolState
    private let threads: [pthread_t]
    private let jobs = Atomic<Int>(0)

    init(threadCount: Int) throws(DeviceError) {
        precondition(threadCount > 0)
        let state = PoolState()
        self.threadCount = threadCount
        self.state = state
        var threads: [pthread_t] = []
        for worker in 1..<threadCount {
            let context = Unmanaged.passRetained(WorkerContext(state: state, worker: worker))
            var thread = pthread_t()
            let result = pthread_create(
                &thread, nil,
                { context in
                    guard let context else { return nil }
                    let worker = Unmanaged<WorkerContext>.fromOpaque(context).takeRetainedValue()
                    worker.state.serve(worker: worker.worker)
                    return nil
                }, context.toOpaque())
            guard result == 0 else {
                context.release()
                state.stop()
                for thread in threads { pthread_join(thread, nil) }
                throw DeviceError(
                    code: .outOfMemory, message: "can't start thread \(worker + 1) of \(threadCount); use fewer threads"
                )
            }
            threads.append(thread)
        }
        self.threads = threads
    }

    deinit {
        state.stop()
        for thread in threads { pthread_join(thread, nil) }
    }

    /// Jobs run since the start, each with one wake-up of the workers, if there are any.
    var jobCount: Int { jobs.load(ordering: .relaxed) }

    /// Runs a job; returns when its last phase is done. One job at a time.
    func run(_ job: any PhasedJob) {
        let phaseCount = UInt32(job.phaseCount)
        guard phaseCount > 0 else { return }
        jobs.wrappingAdd(1, ordering: .relaxed)
        let (posting, claim) = state.begin(job, phaseCount: phaseCount, worker: 0)
        state.work(on: posting, worker: 0, claim)
        state.awaitPreparing()
    }
}

/// An atomic value with no neighbours on its cache lines, which come in pairs: threads that wait for one value would take
/// another from the thread that changes it.
private struct LoneAtomic<Value: AtomicRepresentable & Sendable>: ~Copyable, Sendable {
    private let before = InlineArray<16, UInt64>(repeating: 0)
    let value: Atomic<Value>
    private let after = InlineArray<16, UInt64>(repeating: 0)

    init(_ value: consuming Value) { self.value = Atomic(value) }
}

private final class WorkerContext: Sendable {
    let state: PoolState
    let worker: Int

    init(state: PoolState, worker: Int) {
        self.state = state
        self.worker = worker
    }
}

/// What the threads of a pool share.
///
/// The ticket is `[phase: 32][chunks of the phase: 16][next chunk: 16]`, the phase counted over the pool's whole life.
/// A thread claims a chunk by swapping the ticket for one with the next chunk; that can only succeed while the phase it
/// looked at is still the current one. Whoever finishes a phase's last chunk issues the next phase's ticket, with the first
/// chunk claimed: between cores far from each other each swap takes a fifth of a microsecond.
private final class PoolState: Sendable {
    /// A run of a job. The number of its phases stands here, and not only with the job, because a worker that comes
    /// when the run is over must see that without touching the job, which may have begun another run.
    struct Posting {
        let job: any PhasedJob
        /// The ticket's phase at which the run began.
        let base: UInt32
        let phaseCount: UInt32
    }

    /// A chunk that its thread has to run.
    struct Claim {
        let phase: UInt32
        let chunk: Int
        let chunkCount: Int
    }

    private let ticket = LoneAtomic<UInt64>(0)
    /// Threads that prepare phases: without a claim that keeps the run from ending, its caller waits for them.
    private let preparing = LoneAtomic<Int>(0)
    private let completed = LoneAtomic<UInt32>(0)
    /// Counts jobs, so that idle threads can watch for one without the lock.
    private let generation = Atomic<UInt32>(0)
    /// Workers that sleep, or are about to, and that nobody has rung for yet.
    private let parked = Atomic<Int>(0)
    private let bell = DispatchSemaphore(value: 0)
    private let board = Mutex<(posting: Posting?, isStopped: Bool)>((nil, false))

    /// Posts a job and runs what of its beginning needs no others.
    func begin(_ job: any PhasedJob, phaseCount: UInt32, worker: Int) -> (Posting, Claim?) {
        let base = UInt32(truncatingIfNeeded: ticket.value.load(ordering: .acquiring) >> 32)
        let posting = Posting(job: job, base: base, phaseCount: phaseCount)
        board.withLock { $0.posting = posting }
        // Workers wake while the caller runs what needs no others.
        wake()
        return (posting, advance(to: base, of: posting, worker: worker))
    }

    func stop() {
        board.withLock { $0.isStopped = true }
        wake()
    }

    private func wake() {
        generation.wrappingAdd(1, ordering: .sequentiallyConsistent)
        for _ in 0..<parked.exchange(0, ordering: .sequentiallyConsistent) { bell.signal() }
    }

    /// Runs phases of one chunk, passes those of none, and issues the ticket of the first that has more, or that of the
    /// run's end. Only whoever finished the phase before comes here, so nothing else runs meanwhile.
    ///
    /// - Returns: the first of those chunks, for the caller to run.
    private func advance(to first: UInt32, of posting: Posting, worker: Int) -> Claim? {
        var phase = first
        var chunks = 0
        while phase &- posting.base < posting.phaseCount {
            let index = Int(phase &- posting.base)
            chunks = posting.job.chunkCount(phase: index)
            precondition(chunks <= WorkerPool.maximumChunks, "too many chunks")
            if chunks > 1 { break }
            if chunks == 1 { posting.job.run(phase: index, chunk: 0, of: 1, worker: worker) }
            chunks = 0
            phase &+= 1
        }
        let claimed: UInt64 = chunks > 1 ? 1 : 0
        // No stronger, or the thread would wait until all that it has written has reached its cache.
        ticket.value.store(UInt64(phase) << 32 | UInt64(chunks) << 16 | claimed, ordering: .releasing)
        return chunks > 1 ? Claim(phase: phase, chunk: 0, chunkCount: chunks) : nil
    }

    /// Runs a chunk, if there is one already, and claims others until the run is over.
    func work(on posting: Posting, worker: Int, _ first: Claim? = nil) {
        var claim = first
        var turns = 0
        var idle: (phase: UInt32, step: Int?) = (posting.base, 0)
        while true {
            if let taken = claim {
                turns = 0
                claim = run(taken, of: posting, worker: worker)
                continue
            }
            let current = ticket.value.load(ordering: .acquiring)
            let phase = UInt32(truncatingIfNeeded: current >> 32)
            guard phase &- posting.base < posting.phaseCount else { return }
            let chunks = current >> 16 & 0xffff
            let chunk = current & 0xffff
            guard chunk < chunks else {
                if idle.phase != phase { idle = (phase, 0) }
                if let step = idle.step {
                    idle.step = prepare(posting, current, worker: worker, step: step) ? step + 1 : nil
                } else {
                    Self.pause(&turns)
                }
                continue
            }
            guard
                ticket.value.weakCompareExchange(expected: current, desired: current + 1, ordering: .acquiring)
                    .exchanged
            else { continue }
            claim = Claim(phase: phase, chunk: Int(chunk), chunkCount: Int(chunks))
        }
    }

    /// Runs a chunk; returns the next phase's first if this was the last to be done.
    private func run(_ claim: Claim, of posting: Posting, worker: Int) -> Claim? {
        posting.job.run(
            phase: Int(claim.phase &- posting.base), chunk: claim.chunk, of: claim.chunkCount, worker: worker)
        guard completed.value.wrappingAdd(1, ordering: .acquiringAndReleasing).newValue == UInt32(claim.chunkCount)
        else {
            return nil
        }
        completed.value.store(0, ordering: .relaxed)
        return advance(to: claim.phase &+ 1, of: posting, worker: worker)
    }

    /// One step of preparing, if the run is still where `current` says.
    private func prepare(_ posting: Posting, _ current: UInt64, worker: Int, step: Int) -> Bool {
        let phase = UInt32(truncatingIfNeeded: current >> 32) &- posting.base
        guard phase + 1 < posting.phaseCount else { return false }
        preparing.value.wrappingAdd(1, ordering: .relaxed)
        defer { preparing.value.wrappingSubtract(1, ordering: .releasing) }
        // Looked at once more, now that the caller waits: the run can't have ended. Of this fence and the caller's the
        // later one's thread sees what the other wrote.
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        guard ticket.value.load(ordering: .acquiring) >> 32 == current >> 32 else { return false }
        return posting.job.prepare(after: Int(phase), worker: worker, step: step)
    }

    /// Returns once nobody looks at a job whose phases have all run.
    func awaitPreparing() {
        var turns = 0
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        while preparing.value.load(ordering: .acquiring) > 0 { Self.pause(&turns) }
    }

    /// A worker's life: wait for a job, work on it, again.
    func serve(worker: Int) {
        var seen: UInt32 = 0
        while true {
            var turns = 0
            while generation.load(ordering: .acquiring) == seen {
                // About 200 microseconds: longer than the host's work between two steps.
                if turns < 64 * 64 {
                    Self.pause(&turns)
                } else {
                    park(until: seen)
                }
            }
            seen = generation.load(ordering: .acquiring)
            let (posting, isStopped) = board.withLock { $0 }
            if isStopped { return }
            if let posting { work(on: posting, worker: worker) }
        }
    }

    private func park(until seen: UInt32) {
        parked.wrappingAdd(1, ordering: .sequentiallyConsistent)
        // A job posted before this worker was counted: take the count back, unless the caller has taken it, and with
        // it the duty to ring.
        if generation.load(ordering: .sequentiallyConsistent) != seen {
            var count = parked.load(ordering: .sequentiallyConsistent)
            while count > 0 {
                let (exchanged, original) = parked.compareExchange(
                    expected: count, desired: count - 1, ordering: .sequentiallyConsistent)
                if exchanged { return }
                count = original
            }
        }
        bell.wait()
    }

    private static func pause(_ turns: inout Int) {
        turns += 1
        if turns % 64 == 0 { sched_yield() } else { martlet_spin() }
    }
}
