// SPDX-License-Identifier: Apache-2.0

import MartletCompute

/// Pieces that run one after the other with one wake-up of the workers.
///
/// Unchecked because it owns device memory through its phases. While it runs the workers read the batch and each chunk
/// writes what no other one touches; the pool's barrier orders the phases.
final class Submission: PhasedJob, @unchecked Sendable {
    private let deal: Deal
    private let trace: PhaseTrace?
    private var pieces: [GraphPiece] = []
    private var batch: BatchBuffers?

    init(threadCount: Int, trace: TraceRecorder?) {
        deal = Deal(threadCount: threadCount)
        self.trace = trace.map { PhaseTrace(recorder: $0, threadCount: threadCount) }
    }

    func append(_ piece: GraphPiece) { pieces.append(piece) }

    /// Runs the pieces it holds, and lets go of them.
    func run(_ batch: BatchBuffers, on pool: WorkerPool) {
        guard !pieces.isEmpty else { return }
        self.batch = batch
        trace?.begin()
        pool.run(self)
        removeAll()
    }

    func removeAll() {
        pieces.removeAll(keepingCapacity: true)
        batch = nil
    }

    var phaseCount: Int { pieces.reduce(0) { $0 + $1.phases.count } }

    private func withPhase<Result>(_ index: Int, _ body: (LoweredPhase) -> Result) -> Result {
        var (piece, phase) = (0, index)
        while phase >= pieces[piece].phases.count {
            phase -= pieces[piece].phases.count
            piece += 1
        }
        return body(pieces[piece].phases[phase])
    }

    func chunkCount(phase: Int) -> Int {
        guard let batch else { return 0 }
        return withPhase(phase) { $0.phase.chunkCount($0.phase.itemCount(batch), deal) }
    }

    /// Phases that a thread looks ahead for one that reads weights: a norm, a cache write, attention and its merge may
    /// stand before it.
    private static let lookahead = 4

    func prepare(after phase: Int, worker: Int, step: Int) -> Bool {
        guard let batch else { return false }
        for next in phase + 1..<min(phase + 1 + Self.lookahead, phaseCount) {
            let count = chunkCount(phase: next)
            guard count > 1 else { continue }
            return withPhase(next) { lowered in
                // Whoever ends the phase before claims the first chunk; who waits comes after.
                let chunk = min(max(1, worker), count - 1)
                let total = lowered.phase.itemCount(batch)
                let items = lowered.phase.items(of: total, chunk: chunk, count: count, deal)
                return lowered.phase.prefetch(items, step: step, batch: batch)
            }
        }
        return false
    }

    func run(phase: Int, chunk: Int, of chunkCount: Int, worker: Int) {
        guard let batch else { return }
        withPhase(phase) { lowered in
            let total = lowered.phase.itemCount(batch)
            let items = lowered.phase.items(of: total, chunk: chunk, count: chunkCount, deal)
            guard let trace, let name = lowered.traceName else {
                return lowered.phase.run(items, worker: worker, batch: batch)
            }
            let start = TraceRecorder.now()
            lowered.phase.run(items, worker: worker, batch: batch)
            trace.record(name, phase: phase, worker: worker, items: items.count, start: start)
        }
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
    private let open: UnsafeMutableBufferPointer<Open>

    init(recorder: TraceRecorder, threadCount: Int) {
        self.recorder = recorder
        open = .allocate(capacity: threadCount)
        open.initialize(repeating: Open())
    }

    deinit { open.deallocate() }

    /// A run's spans are its own, even where a thread does nothing else between two runs.
    func begin() { open.update(repeating: Open()) }

    func record(_ name: TraceRecorder.Name, phase: Int, worker: Int, items: Int, start: UInt64) {
        let end = TraceRecorder.now()
        if open[worker].phase == phase,
            recorder.extend(name, lane: worker, start: open[worker].start, end: end, value: Int32(items))
        {
            return
        }
        open[worker] = Open(phase: phase, start: start)
        recorder.record(name, lane: worker, start: start, end: end, values: (Int32(items), 0, 0))
    }
}
