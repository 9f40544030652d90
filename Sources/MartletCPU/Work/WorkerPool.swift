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
    /// Called by a thread that waits for others to end the phase before, with steps from 0 on until it returns false: a
    /// moment to have memory read that this phase or those behind it will want.
    func prepare(for phase: Int, worker: Int, step: Int) -> Bool
}

extension PhasedJob {
    func prepare(for phase: Int, worker: Int, step: Int) -> Bool { false }
}

/// Threads that claim the chunks of a job's phases. The caller works too.
///
/// Each thread has a share of a phase's chunks, claims them from the first on, and then the last ones of others'
/// shares. So a thread finds in its own cache what it left there a phase before, or read there a step before, and
/// nobody waits for a thread that has claimed nothing: one that the scheduler took away, or that wakes late, costs its
/// share and no stall. A whole job costs one wake-up; between phases threads spin, yielding every 64 turns. A phase of
/// one chunk is run by whoever finished the phase before it, so that little work in between costs no barrier of its
/// own.
final class WorkerPool: Sendable {
    static let maximumChunks = 0xffff

    let threadCount: Int
    private let state: PoolState
    private let threads: [pthread_t]
    private let jobs = Atomic<Int>(0)

    /// A thread's share of a phase's chunks. Unlike with `slice` the first threads have what is left of equal ones: the
    /// caller, thread 0, has a chunk if any has.
    static func share(of chunkCount: Int, worker: Int, threadCount: Int) -> Range<Int> {
        let (each, rest) = chunkCount.quotientAndRemainder(dividingBy: threadCount)
        let first = worker * each + min(worker, rest)
        return first..<first + each + (worker < rest ? 1 : 0)
    }

    /// Several times what the kernel with the largest frames takes. Pages are touched only as they are used.
    private static let stackBytes = 2 << 20

    init(threadCount: Int) throws(DeviceError) {
        precondition(threadCount > 0)
        let state = PoolState(threadCount: threadCount)
        self.threadCount = threadCount
        self.state = state
        var threads: [pthread_t] = []
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        defer { pthread_attr_destroy(&attributes) }
        // The system's own size is what `ulimit -s` says, which may be less than kernels take.
        pthread_attr_setstacksize(&attributes, Self.stackBytes)
        for worker in 1..<threadCount {
            let context = Unmanaged.passRetained(WorkerContext(state: state, worker: worker))
            var thread = pthread_t()
            let result = pthread_create(
                &thread, &attributes,
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

/// What a thread has of the current phase. No two threads' seats are on one cache line, nor on two neighbouring ones,
/// which come in pairs: who waits at its own seat would take another's from the thread that works there.
private final class Seat: Sendable {
    /// The chunks of a thread's share that nobody has claimed, of the `phase` counted over the pool's whole life.
    struct Share {
        var phase: UInt32
        var next: UInt16
        var end: UInt16

        init(phase: UInt32, chunks: Range<Int>) {
            self.phase = phase
            (next, end) = (UInt16(chunks.lowerBound), UInt16(chunks.upperBound))
        }

        init(bits: UInt64) {
            phase = UInt32(truncatingIfNeeded: bits >> 32)
            (end, next) = (UInt16(truncatingIfNeeded: bits >> 16), UInt16(truncatingIfNeeded: bits))
        }

        var bits: UInt64 { UInt64(phase) << 32 | UInt64(end) << 16 | UInt64(next) }
        var isEmpty: Bool { next >= end }
    }

    private let before = InlineArray<16, UInt64>(repeating: 0)
    let share = Atomic<UInt64>(0)
    /// Of the whole phase.
    let chunkCount = Atomic<Int>(0)
    private let after = InlineArray<16, UInt64>(repeating: 0)
}

/// What the threads of a pool share.
///
/// Whoever ends a phase deals the chunks of the next one to the seats, its own with a chunk claimed. A chunk is
/// claimed by swapping a seat's share for one without it, which can only succeed while the phase that it was looked at
/// in is still the current one. Each thread waits at its own seat: between cores far from each other a value takes a
/// fifth of a microsecond to come over, and so it has to come once.
private final class PoolState: Sendable {
    /// A run of a job. The number of its phases stands here, and not only with the job, because a worker that comes
    /// when the run is over must see that without touching the job, which may have begun another run.
    struct Posting {
        let job: any PhasedJob
        /// The phase at which the run began.
        let base: UInt32
        let phaseCount: UInt32
    }

    /// A chunk that its thread has to run.
    struct Claim {
        let phase: UInt32
        let chunk: Int
        let chunkCount: Int
    }

    private let seats: [Seat]
    /// The same, to come to without counting references: each count would be a line that threads take from each other.
    private let seatsAsTheyAre: [Unmanaged<Seat>]
    /// Threads that prepare phases: without a claim that keeps the run from ending, its caller waits for them.
    private let preparing = LoneAtomic<Int>(0)
    private let completed = LoneAtomic<UInt32>(0)
    /// Counts jobs, so that idle threads can watch for one without the lock.
    private let generation = Atomic<UInt32>(0)
    /// Workers that sleep, or are about to, and that nobody has rung for yet.
    private let parked = Atomic<Int>(0)
    private let bell = DispatchSemaphore(value: 0)
    private let board = Mutex<(posting: Posting?, isStopped: Bool)>((nil, false))

    init(threadCount: Int) {
        seats = (0..<threadCount).map { _ in Seat() }
        seatsAsTheyAre = seats.map { .passUnretained($0) }
    }

    private func share(at seat: Int) -> Seat.Share {
        Seat.Share(bits: seatsAsTheyAre[seat]._withUnsafeGuaranteedRef { $0.share.load(ordering: .acquiring) })
    }

    /// Swaps a seat's share for one without a chunk.
    private func exchange(_ old: Seat.Share, for new: Seat.Share, at seat: Int) -> Bool {
        seatsAsTheyAre[seat]._withUnsafeGuaranteedRef {
            $0.share.weakCompareExchange(expected: old.bits, desired: new.bits, ordering: .acquiring).exchanged
        }
    }

    private func claim(_ chunk: UInt16, phase: UInt32, worker: Int) -> Claim {
        let count = seatsAsTheyAre[worker]._withUnsafeGuaranteedRef { $0.chunkCount.load(ordering: .relaxed) }
        return Claim(phase: phase, chunk: Int(chunk), chunkCount: count)
    }

    /// Posts a job and runs what of its beginning needs no others.
    func begin(_ job: any PhasedJob, phaseCount: UInt32, worker: Int) -> (Posting, Claim?) {
        // A phase is dealt once: that which ended the run before has been.
        let base = share(at: worker).phase &+ 1
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

    /// Runs phases of one chunk, passes those of none, and deals the first that has more, or the run's end. Only
    /// whoever finished the phase before comes here, so nothing else runs meanwhile.
    ///
    /// - Returns: a chunk for the caller to run.
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
        var own: Claim?
        // The first seat last, because it has a chunk if any has, and is the caller's: as long as it hasn't been dealt
        // to, neither this phase nor the run can end, and nobody else deals.
        for seat in seats.indices.reversed() {
            var share = Seat.Share(
                phase: phase, chunks: WorkerPool.share(of: chunks, worker: seat, threadCount: seats.count))
            if seat == worker, !share.isEmpty {
                own = Claim(phase: phase, chunk: Int(share.next), chunkCount: chunks)
                share.next += 1
            }
            // Release suffices below: a sequentially consistent store would drain the store buffer.
            seatsAsTheyAre[seat]._withUnsafeGuaranteedRef {
                $0.chunkCount.store(chunks, ordering: .relaxed)
                $0.share.store(share.bits, ordering: .releasing)
            }
        }
        return own
    }

    /// Runs a chunk, if there is one already, and claims others until the run is over.
    func work(on posting: Posting, worker: Int, _ first: Claim? = nil) {
        var claim = first
        var turns = 0
        var idle: (phase: UInt32, isOthersLeft: Bool, step: Int?) = (posting.base &- 1, false, 0)
        while true {
            if let taken = claim {
                turns = 0
                claim = run(taken, of: posting, worker: worker)
                continue
            }
            let share = share(at: worker)
            guard share.phase &- posting.base < posting.phaseCount || share.phase == posting.base &- 1 else { return }
            guard share.isEmpty else {
                var rest = share
                rest.next += 1
                if exchange(share, for: rest, at: worker) {
                    claim = self.claim(share.next, phase: share.phase, worker: worker)
                }
                continue
            }
            if idle.phase != share.phase { idle = (share.phase, true, 0) }
            if idle.isOthersLeft {
                claim = takeFromOthers(phase: share.phase, worker: worker, isLeft: &idle.isOthersLeft)
                if claim != nil { continue }
            }
            if let step = idle.step {
                idle.step = prepare(posting, share.phase, worker: worker, step: step) ? step + 1 : nil
            } else {
                Self.pause(&turns)
            }
        }
    }

    /// The last chunk of the first share that has any.
    ///
    /// - Parameter isLeft: becomes false where no share has, nor will have in this phase.
    private func takeFromOthers(phase: UInt32, worker: Int, isLeft: inout Bool) -> Claim? {
        isLeft = false
        for step in 1..<seats.count {
            let seat = (worker + step) % seats.count
            while true {
                let share = share(at: seat)
                // The thread that deals hasn't come to this seat yet; or it is over.
                guard share.phase == phase else {
                    isLeft = true
                    break
                }
                guard !share.isEmpty else { break }
                var rest = share
                rest.end -= 1
                if exchange(share, for: rest, at: seat) {
                    isLeft = true
                    return claim(rest.end, phase: phase, worker: worker)
                }
            }
        }
        return nil
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

    /// One step of preparing, if the run is still in this phase, or has still to begin.
    private func prepare(_ posting: Posting, _ current: UInt32, worker: Int, step: Int) -> Bool {
        let next = current &- posting.base &+ 1
        guard next < posting.phaseCount else { return false }
        preparing.value.wrappingAdd(1, ordering: .relaxed)
        defer { preparing.value.wrappingSubtract(1, ordering: .releasing) }
        // Looked at once more, now that the caller waits: the run can't have ended. Of this fence and the caller's the
        // later one's thread sees what the other wrote.
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        guard share(at: worker).phase == current else { return false }
        return posting.job.prepare(for: Int(next), worker: worker, step: step)
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
