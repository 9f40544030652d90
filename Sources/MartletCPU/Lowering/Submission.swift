// SPDX-License-Identifier: Apache-2.0

import MartletCompute

/// Pieces that run one after the other with one wake-up of the workers.
///
/// Unchecked because phases point into memory, which the pieces keep. While it runs the workers read the batch and each
/// chunk writes what no other one touches; the pool's barrier orders the phases.
final class Submission: PhasedJob, @unchecked Sendable {
    private let deal: Deal
    private let trace: PhaseTrace?
    private var pieces: [GraphPiece] = []
    /// The pieces' phases in order. Nobody counts references to them, nor to the batch, because threads come for them
    /// several thousand times a step: each count would be a line of memory that they take from each other.
    private var phases: [Unmanaged<LoweredPhase>] = []
    private var batch: Unmanaged<BatchBuffers>?

    init(threadCount: Int, trace: TraceRecorder?) {
        deal = Deal(threadCount: threadCount)
        self.trace = trace.map { PhaseTrace(recorder: $0, threadCount: threadCount) }
    }

    func append(_ piece: GraphPiece) { pieces.append(piece) }

    /// Runs the pieces it holds, and lets go of them.
    func run(_ batch: BatchBuffers, on pool: WorkerPool) {
        guard !pieces.isEmpty else { return }
        for piece in pieces {
            // Here, once a step, and not between phases, where all threads wait.
            for phase in piece.phases(tokenCount: batch.tokenCount)
            where phase._withUnsafeGuaranteedRef({ $0.hasItems(batch) }) {
                phases.append(phase)
            }
        }
        self.batch = .passUnretained(batch)
        trace?.begin()
        withExtendedLifetime(batch) { pool.run(self) }
        removeAll()
    }

    func removeAll() {
        phases.removeAll(keepingCapacity: true)
        pieces.removeAll(keepingCapacity: true)
        batch = nil
    }

    var phaseCount: Int { phases.count }

    private func withPhase<Result>(_ index: Int, _ body: (LoweredPhase, BatchBuffers) -> Result) -> Result? {
        batch?._withUnsafeGuaranteedRef { batch in
            phases[index]._withUnsafeGuaranteedRef { body($0, batch) }
        }
    }

    func chunkCount(phase: Int) -> Int { withPhase(phase) { $0.chunkCount($1, deal) } ?? 0 }

    /// Phases that a thread looks ahead for one that reads weights: a norm, rotation, attention and its merge may stand
    /// before it.
    private static let lookahead = 4

    func prepare(for phase: Int, worker: Int, step: Int) -> Bool {
        for next in phase..<min(phase + Self.lookahead, phaseCount) {
            let count = chunkCount(phase: next)
            guard count > 1 else { continue }
            let share = WorkerPool.share(of: count, worker: worker, threadCount: deal.threadCount)
            guard let chunk = share.first else { return false }
            return withPhase(next) { lowered, batch in
                lowered.prefetch(
                    lowered.items(chunk: chunk, count: count, batch, deal), step: step, batch: batch)
            } ?? false
        }
        return false
    }

    func run(phase: Int, chunk: Int, of chunkCount: Int, worker: Int) {
        withPhase(phase) { lowered, batch in
            let items = lowered.items(chunk: chunk, count: chunkCount, batch, deal)
            for part in lowered.parts.indices {
                guard let trace, let name = lowered.parts[part].traceName else {
                    lowered.run(part: part, items, worker: worker, batch: batch)
                    continue
                }
                let start = TraceRecorder.now()
                lowered.run(part: part, items, worker: worker, batch: batch)
                trace.record(name, phase: phase, part: part, worker: worker, items: items.count, start: start)
            }
        }
    }
}

/// Records which thread works on which phase. Chunks of one phase that a thread claims one after the other are one span,
/// if the phase is in one part.
///
/// Unchecked because each thread uses its own entry.
private final class PhaseTrace: @unchecked Sendable {
    private struct Open {
        var phase: Int
        var part: Int
        var start: UInt64
        /// The next thread's is on another cache line, and not on the neighbouring one either.
        private let after = InlineArray<16, UInt64>(repeating: 0)

        init(phase: Int = -1, part: Int = 0, start: UInt64 = 0) {
            self.phase = phase
            self.part = part
            self.start = start
        }
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

    func record(
        _ name: TraceRecorder.Name, phase: Int, part: Int, worker: Int, items: Int, start: UInt64
    ) {
        let end = TraceRecorder.now()
        if open[worker].phase == phase, open[worker].part == part,
            recorder.extend(name, lane: worker, start: open[worker].start, end: end, value: Int32(items))
        {
            return
        }
        open[worker] = Open(phase: phase, part: part, start: start)
        recorder.record(name, lane: worker, start: start, end: end, values: (Int32(items), 0, 0))
    }
}
