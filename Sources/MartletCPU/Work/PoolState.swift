// SPDX-License-Identifier: Apache-2.0

import CMartletKernels
import Dispatch
import Glibc
import MartletCompute
import Synchronization

/// What the threads of a pool share.
///
/// The thread that ends a phase deals the chunks of the next one to the shares, its own with a chunk claimed. A thread claims
/// a chunk by swapping a share's chunks for those without it, which succeeds only while the phase that it read them in is
/// still the current one. Each thread waits at its own share, so that a value comes from core to core once.
final class PoolState: Sendable {
    /// A run of a job. The number of its phases is here, and not only with the job, because a worker that comes when the run
    /// is over must see that without touching the job, which may have begun another run.
    struct Run {
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

    private let shares: [WorkerShare]
    /// The same, read without counting references: each count would move a cache line between cores.
    private let unretainedShares: [Unmanaged<WorkerShare>]
    /// Threads that prepare phases: without a claim that keeps the run from ending, its caller waits for them.
    private let preparing = IsolatedAtomic<Int>(0)
    private let completed = IsolatedAtomic<UInt32>(0)
    /// Counts jobs, so that idle threads can watch for one without the lock.
    private let generation = Atomic<UInt32>(0)
    /// Workers that sleep, or are about to, and that were not woken yet.
    private let parked = Atomic<Int>(0)
    private let wakeUp = DispatchSemaphore(value: 0)
    private let current = Lock<(run: Run?, isStopped: Bool)>((nil, false))

    init(threadCount: Int) {
        shares = (0..<threadCount).map { _ in WorkerShare() }
        unretainedShares = shares.map { .passUnretained($0) }
    }

    private func chunks(of owner: Int) -> WorkerShare.Chunks {
        WorkerShare.Chunks(
            bits: unretainedShares[owner]._withUnsafeGuaranteedRef { $0.chunks.load(ordering: .acquiring) })
    }

    /// Swaps a share's chunks for those without one.
    private func exchange(_ old: WorkerShare.Chunks, for new: WorkerShare.Chunks, of owner: Int) -> Bool {
        unretainedShares[owner]._withUnsafeGuaranteedRef {
            $0.chunks.weakCompareExchange(expected: old.bits, desired: new.bits, ordering: .acquiring).exchanged
        }
    }

    private func claim(_ chunk: UInt16, phase: UInt32, worker: Int) -> Claim {
        let count = unretainedShares[worker]._withUnsafeGuaranteedRef { $0.chunkCount.load(ordering: .relaxed) }
        return Claim(phase: phase, chunk: Int(chunk), chunkCount: count)
    }

    /// Posts a job, and runs its first phases as far as they have one chunk each.
    func begin(_ job: any PhasedJob, phaseCount: UInt32, worker: Int) -> (Run, Claim?) {
        // A phase is dealt once: that which ended the run before has been.
        let base = chunks(of: worker).phase &+ 1
        let run = Run(job: job, base: base, phaseCount: phaseCount)
        current.withLock { $0.run = run }
        // Workers wake while the caller runs phases of one chunk.
        wake()
        return (run, advance(to: base, of: run, worker: worker))
    }

    func stop() {
        current.withLock { $0.isStopped = true }
        wake()
    }

    private func wake() {
        generation.wrappingAdd(1, ordering: .sequentiallyConsistent)
        for _ in 0..<parked.exchange(0, ordering: .sequentiallyConsistent) { wakeUp.signal() }
    }

    /// Runs phases of one chunk, passes those of none, and deals the first that has more, or the run's end. Only the thread
    /// that finished the phase before calls it, so nothing else runs meanwhile.
    ///
    /// - Returns: a chunk for the caller to run.
    private func advance(to first: UInt32, of run: Run, worker: Int) -> Claim? {
        var phase = first
        var chunks = 0
        while phase &- run.base < run.phaseCount {
            let index = Int(phase &- run.base)
            chunks = run.job.chunkCount(phase: index)
            precondition(chunks <= WorkerPool.maximumChunks, "too many chunks")
            if chunks > 1 { break }
            if chunks == 1 { run.job.run(phase: index, chunk: 0, of: 1, worker: worker) }
            chunks = 0
            phase &+= 1
        }
        var own: Claim?
        // The first share last, because it has a chunk if any has, and is the caller's: as long as it hasn't been dealt to,
        // neither this phase nor the run can end, and no other thread deals.
        for owner in shares.indices.reversed() {
            var share = WorkerShare.Chunks(
                phase: phase, chunks: WorkerPool.share(of: chunks, worker: owner, threadCount: shares.count))
            if owner == worker, !share.isEmpty {
                own = Claim(phase: phase, chunk: Int(share.next), chunkCount: chunks)
                share.next += 1
            }
            // Release suffices below: a sequentially consistent store would drain the store buffer.
            unretainedShares[owner]._withUnsafeGuaranteedRef {
                $0.chunkCount.store(chunks, ordering: .relaxed)
                $0.chunks.store(share.bits, ordering: .releasing)
            }
        }
        return own
    }

    /// Runs a chunk, if there is one already, and claims others until the run is over.
    func work(on run: Run, worker: Int, _ first: Claim? = nil) {
        var claim = first
        var turns = 0
        var idle: (phase: UInt32, isOthersLeft: Bool, step: Int?) = (run.base &- 1, false, 0)
        while true {
            if let taken = claim {
                turns = 0
                claim = execute(taken, of: run, worker: worker)
                continue
            }
            let share = chunks(of: worker)
            guard share.phase &- run.base < run.phaseCount || share.phase == run.base &- 1 else { return }
            guard share.isEmpty else {
                var rest = share
                rest.next += 1
                if exchange(share, for: rest, of: worker) {
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
                idle.step = prepare(run, share.phase, worker: worker, step: step) ? step + 1 : nil
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
        for step in 1..<shares.count {
            let owner = (worker + step) % shares.count
            while true {
                let share = chunks(of: owner)
                // The thread that deals hasn't come to this share yet, or the phase is over.
                guard share.phase == phase else {
                    isLeft = true
                    break
                }
                guard !share.isEmpty else { break }
                var rest = share
                rest.end -= 1
                if exchange(share, for: rest, of: owner) {
                    isLeft = true
                    return claim(rest.end, phase: phase, worker: worker)
                }
            }
        }
        return nil
    }

    /// Runs a chunk; returns the next phase's first if this was the last to be done.
    private func execute(_ claim: Claim, of run: Run, worker: Int) -> Claim? {
        run.job.run(
            phase: Int(claim.phase &- run.base), chunk: claim.chunk, of: claim.chunkCount, worker: worker)
        guard completed.value.wrappingAdd(1, ordering: .acquiringAndReleasing).newValue == UInt32(claim.chunkCount)
        else {
            return nil
        }
        completed.value.store(0, ordering: .relaxed)
        return advance(to: claim.phase &+ 1, of: run, worker: worker)
    }

    /// One step of preparing, if the run is still in this phase, or has still to begin.
    private func prepare(_ run: Run, _ phase: UInt32, worker: Int, step: Int) -> Bool {
        let next = phase &- run.base &+ 1
        guard next < run.phaseCount else { return false }
        preparing.value.wrappingAdd(1, ordering: .relaxed)
        defer { preparing.value.wrappingSubtract(1, ordering: .releasing) }
        // Looked at once more, now that the caller waits: the run can't have ended. Of this fence and the caller's the
        // later one's thread sees what the other wrote.
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        guard chunks(of: worker).phase == phase else { return false }
        return run.job.prepare(for: Int(next), worker: worker, step: step)
    }

    /// Returns once no thread looks at a job whose phases have all run.
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
            let (run, isStopped) = current.withLock { $0 }
            if isStopped { return }
            if let run { work(on: run, worker: worker) }
        }
    }

    private func park(until seen: UInt32) {
        parked.wrappingAdd(1, ordering: .sequentiallyConsistent)
        // A job was posted before this worker was counted. It takes the count back, unless the caller has taken it, and with
        // it the duty to wake the worker.
        if generation.load(ordering: .sequentiallyConsistent) != seen {
            var count = parked.load(ordering: .sequentiallyConsistent)
            while count > 0 {
                let (exchanged, original) = parked.compareExchange(
                    expected: count, desired: count - 1, ordering: .sequentiallyConsistent)
                if exchanged { return }
                count = original
            }
        }
        wakeUp.wait()
    }

    private static func pause(_ turns: inout Int) {
        turns += 1
        if turns % 64 == 0 { sched_yield() } else { martlet_spin() }
    }
}
