// SPDX-License-Identifier: Apache-2.0

import CMartletKernels
import Dispatch
import Glibc
import MartletCompute
import Synchronization

/// Work in phases: all chunks of one are done before any of the next begins.
protocol PhasedJob: AnyObject, Sendable {
    var phaseCount: Int { get }
    /// How many chunks a phase of this run has; more than `WorkerPool.maximumChunks` are not allowed.
    func chunkCount(phase: Int) -> Int
    func run(phase: Int, chunk: Int, of chunkCount: Int, worker: Int)
}

/// Threads that claim the chunks of a job's phases. The caller works too.
///
/// Nobody waits for a thread that has claimed nothing, so one that the scheduler took away, or that wakes late, costs
/// its share and no stall. A whole job costs one wake-up; between phases threads spin, yielding every 64 turns.
final class WorkerPool: Sendable {
    static let maximumChunks = 0xffff

    let threadCount: Int
    private let state: PoolState
    private let threads: [pthread_t]

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

    /// Runs a job; returns when its last phase is done. One job at a time.
    func run(_ job: any PhasedJob) {
        guard job.phaseCount > 0 else { return }
        state.work(on: job, base: state.publish(job), worker: 0)
    }
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
/// looked at is still the current one. Whoever finishes a phase's last chunk issues the next phase's ticket.
private final class PoolState: Sendable {
    private struct Posting {
        var job: (any PhasedJob)?
        /// The ticket's phase at which the job began.
        var base: UInt32 = 0
        var stopped = false
    }

    private let ticket = Atomic<UInt64>(0)
    private let completed = Atomic<UInt32>(0)
    /// Counts jobs, so that idle threads can watch for one without the lock.
    private let generation = Atomic<UInt32>(0)
    /// Workers that sleep, or are about to, and that nobody has rung for yet.
    private let parked = Atomic<Int>(0)
    private let bell = DispatchSemaphore(value: 0)
    private let posting = Mutex(Posting())

    func publish(_ job: any PhasedJob) -> UInt32 {
        let base = UInt32(truncatingIfNeeded: ticket.load(ordering: .acquiring) >> 32)
        posting.withLock {
            $0.job = job
            $0.base = base
        }
        issue(phase: base, of: job, base: base)
        wake()
        return base
    }

    func stop() {
        posting.withLock { $0.stopped = true }
        wake()
    }

    private func wake() {
        generation.wrappingAdd(1, ordering: .sequentiallyConsistent)
        for _ in 0..<parked.exchange(0, ordering: .sequentiallyConsistent) { bell.signal() }
    }

    private func issue(phase: UInt32, of job: any PhasedJob, base: UInt32) {
        let index = Int(phase &- base)
        // A phase without work still needs someone to pass it.
        let chunks = index < job.phaseCount ? max(1, job.chunkCount(phase: index)) : 0
        precondition(chunks <= WorkerPool.maximumChunks, "too many chunks")
        ticket.store(UInt64(phase) << 32 | UInt64(chunks) << 16, ordering: .releasing)
    }

    /// Claims chunks until the job is done.
    func work(on job: any PhasedJob, base: UInt32, worker: Int) {
        let phaseCount = UInt32(job.phaseCount)
        var turns = 0
        while true {
            let current = ticket.load(ordering: .acquiring)
            let phase = UInt32(truncatingIfNeeded: current >> 32)
            guard phase &- base < phaseCount else { return }
            let chunks = current >> 16 & 0xffff
            let chunk = current & 0xffff
            guard chunk < chunks else {
                Self.pause(&turns)
                continue
            }
            guard ticket.weakCompareExchange(expected: current, desired: current + 1, ordering: .acquiring).exchanged
            else { continue }
            turns = 0
            job.run(phase: Int(phase &- base), chunk: Int(chunk), of: Int(chunks), worker: worker)
            if completed.wrappingAdd(1, ordering: .acquiringAndReleasing).newValue == UInt32(chunks) {
                completed.store(0, ordering: .relaxed)
                issue(phase: phase &+ 1, of: job, base: base)
            }
        }
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
            let current = posting.withLock { $0 }
            if current.stopped { return }
            if let job = current.job { work(on: job, base: current.base, worker: worker) }
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
