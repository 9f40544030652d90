// SPDX-License-Identifier: Apache-2.0

import CMartletKernels
import Dispatch
import Glibc
package import MartletCompute
import Synchronization

/// Work in phases: all chunks of one are done before any of the next begins.
package protocol PhasedJob: AnyObject, Sendable {
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
    package func prepare(for phase: Int, worker: Int, step: Int) -> Bool { false }
}

/// Threads that claim the chunks of a job's phases. The caller works too.
///
/// Each thread has a share of a phase's chunks, claims them from the first on, and then the last ones of others'
/// shares. So a thread finds in its own cache what it left there a phase before, or read there a step before. No thread
/// waits for one that has claimed nothing: a descheduled thread, or one that wakes late, costs its share and no stall. A
/// whole job costs one wake-up; between phases threads spin, yielding every 64 turns. The thread that finishes a phase runs
/// the next one too where that has one chunk, so that little work in between costs no barrier of its own.
package final class WorkerPool: Sendable {
    static let maximumChunks = 0xffff

    let threadCount: Int
    private let state: PoolState
    private let threads: [pthread_t]
    private let jobs = Atomic<Int>(0)

    /// A thread's share of a phase's chunks. Unlike `slice` it gives what is left of equal shares to the first threads: the
    /// caller, thread 0, has a chunk if any thread has.
    package static func share(of chunkCount: Int, worker: Int, threadCount: Int) -> Range<Int> {
        let (each, rest) = chunkCount.quotientAndRemainder(dividingBy: threadCount)
        let first = worker * each + min(worker, rest)
        return first..<first + each + (worker < rest ? 1 : 0)
    }

    /// Several times what the kernel with the largest frames takes. Pages are touched only as they are used.
    private static let stackBytes = 2 << 20

    package init(threadCount: Int) throws(DeviceError) {
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
    package func run(_ job: any PhasedJob) {
        let phaseCount = UInt32(job.phaseCount)
        guard phaseCount > 0 else { return }
        jobs.wrappingAdd(1, ordering: .relaxed)
        let (run, claim) = state.begin(job, phaseCount: phaseCount, worker: 0)
        state.work(on: run, worker: 0, claim)
        state.awaitPreparing()
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
