// SPDX-License-Identifier: Apache-2.0

import MartletCompute

/// Pieces that run one after the other with one wake-up of the workers.
///
/// Unchecked because phases point into memory, which the pieces keep. While it runs the workers read the batch and each
/// chunk writes what no other one touches; the pool's barrier orders the phases.
final class Submission: PhasedJob, @unchecked Sendable {
    private let policy: ChunkPolicy
    private let trace: PhaseTrace?
    private var pieces: [GraphPiece] = []
    /// The pieces' phases in order. Threads count no references to them, nor to the batch: they claim chunks several thousand
    /// times a step, and each count would move a cache line from one core to another.
    private var phases: [Unmanaged<LoweredPhase>] = []
    private var batch: Unmanaged<BatchBuffers>?

    init(threadCount: Int, trace: TraceRecorder?) {
        policy = ChunkPolicy(threadCount: threadCount)
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

    func chunkCount(phase: Int) -> Int { withPhase(phase) { $0.chunkCount($1, policy) } ?? 0 }

    /// Phases that a thread looks ahead for one that reads weights: a norm, rotation, attention and its merge may stand
    /// before it.
    private static let lookahead = 4

    func prepare(for phase: Int, worker: Int, step: Int) -> Bool {
        for next in phase..<min(phase + Self.lookahead, phaseCount) {
            let count = chunkCount(phase: next)
            guard count > 1 else { continue }
            let share = WorkerPool.share(of: count, worker: worker, threadCount: policy.threadCount)
            guard let chunk = share.first else { return false }
            return withPhase(next) { lowered, batch in
                lowered.prefetch(
                    lowered.items(chunk: chunk, count: count, batch, policy), step: step, batch: batch)
            } ?? false
        }
        return false
    }

    func run(phase: Int, chunk: Int, of chunkCount: Int, worker: Int) {
        withPhase(phase) { lowered, batch in
            let items = lowered.items(chunk: chunk, count: chunkCount, batch, policy)
            for stage in lowered.stages.indices {
                guard let trace, let name = lowered.stages[stage].traceName else {
                    lowered.run(stage: stage, items, worker: worker, batch: batch)
                    continue
                }
                let start = TraceRecorder.now()
                lowered.run(stage: stage, items, worker: worker, batch: batch)
                trace.record(name, phase: phase, stage: stage, worker: worker, items: items.count, start: start)
            }
        }
    }
}
