// SPDX-License-Identifier: Apache-2.0

import MartletCompute

/// A program lowered once: phases over resolved memory, run with one wake-up of the workers.
///
/// Unchecked because it owns device memory through its phases. While it runs the workers read the batch and each chunk
/// writes what no other one touches; the pool's barrier orders the phases.
final class CPUGraph: ExecutionGraph, PhasedJob, @unchecked Sendable {
    private let phases: [any Phase]
    private let chunkLimit: Int
    /// Keeps alive what the phases point into.
    private let workspace: CPUWorkspace
    private var batch: BatchBuffers?
    private let trace: PhaseTrace?

    init(phases: [any Phase], workspace: CPUWorkspace, threadCount: Int, trace: TraceRecorder? = nil) {
        self.phases = phases
        self.workspace = workspace
        self.trace = trace.map { PhaseTrace(recorder: $0, phases: phases, threadCount: threadCount) }
        // About 8 chunks a thread: enough to level out a slow one, few enough to claim cheaply.
        chunkLimit = 8 * threadCount
    }

    func run(_ batch: BatchBuffers, on pool: WorkerPool) {
        self.batch = batch
        trace?.begin()
        pool.run(self)
        self.batch = nil
    }

    var phaseCount: Int { phases.count }

    func chunkCount(phase: Int) -> Int {
        guard let batch else { return 0 }
        return min(phases[phase].itemCount(batch), phases[phase].chunkLimit ?? chunkLimit)
    }

    func run(phase: Int, chunk: Int, of chunkCount: Int, worker: Int) {
        guard let batch else { return }
        let items = slice(of: phases[phase].itemCount(batch), chunk: chunk, count: chunkCount)
        guard let trace else { return phases[phase].run(items, worker: worker, batch: batch) }
        let start = TraceRecorder.now()
        phases[phase].run(items, worker: worker, batch: batch)
        trace.record(phase: phase, worker: worker, items: items.count, start: start)
    }
}

/// Records which thread works on which phase. Chunks of one phase that a thread claims one after the other are one span.
///
/// Unchecked because each thread uses its own entry.
private final class PhaseTrace: @unchecked Sendable {
    private struct Open {
        var phase = -1
        var start: UInt64 = 0
    }

    private let recorder: TraceRecorder
    private let names: [TraceRecorder.Name]
    private let open: UnsafeMutableBufferPointer<Open>

    init(recorder: TraceRecorder, phases: [any Phase], threadCount: Int) {
        self.recorder = recorder
        names = phases.map { recorder.name($0.name, values: ["items"]) }
        open = .allocate(capacity: threadCount)
        open.initialize(repeating: Open())
    }

    deinit { open.deallocate() }

    /// A run's spans are its own, even where a thread does nothing else between two runs.
    func begin() { open.update(repeating: Open()) }

    func record(phase: Int, worker: Int, items: Int, start: UInt64) {
        let end = TraceRecorder.now()
        if open[worker].phase == phase,
            recorder.extend(
                names[phase], lane: worker, start: open[worker].start, end: end, value: Int32(items))
        {
            return
        }
        open[worker] = Open(phase: phase, start: start)
        recorder.record(names[phase], lane: worker, start: start, end: end, values: (Int32(items), 0, 0))
    }
}
