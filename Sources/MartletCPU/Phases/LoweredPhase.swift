// SPDX-License-Identifier: Apache-2.0

import MartletCompute

/// A phase as a graph holds it: one, or several that share their items.
final class LoweredPhase {
    struct Stage {
        let phase: Phase
        /// What it is called in the trace, if there is one.
        let traceName: TraceRecorder.Name?
    }

    /// Run on a chunk's items one after the other. They have the same items; the first one decides the chunks.
    let stages: [Stage]
    /// Their phases, read without reference counting.
    private let phases: [Unmanaged<Phase>]
    /// The kernels that it computes, some of them in part.
    let kernels: ClosedRange<Int>

    /// - Parameter stages: at least one.
    init(_ stages: [Stage], kernels: ClosedRange<Int>) {
        precondition(!stages.isEmpty)
        self.stages = stages
        phases = stages.map { .passUnretained($0.phase) }
        self.kernels = kernels
    }

    var name: String { stages.map(\.phase.name).joined(separator: " + ") }

    /// Whether there is anything to do for the batch.
    func hasItems(_ batch: BatchBuffers) -> Bool { phases[0]._withUnsafeGuaranteedRef { $0.itemCount(batch) > 0 } }

    func chunkCount(_ batch: BatchBuffers, _ policy: ChunkPolicy) -> Int {
        phases[0]._withUnsafeGuaranteedRef { $0.chunkCount($0.itemCount(batch), policy) }
    }

    func items(chunk: Int, count: Int, _ batch: BatchBuffers, _ policy: ChunkPolicy) -> Range<Int> {
        phases[0]._withUnsafeGuaranteedRef { $0.items(of: $0.itemCount(batch), chunk: chunk, count: count, policy) }
    }

    func run(stage: Int, _ items: Range<Int>, worker: Int, batch: BatchBuffers) {
        phases[stage]._withUnsafeGuaranteedRef { $0.run(items, worker: worker, batch: batch) }
    }

    /// As a phase does for its items.
    func prefetch(_ items: Range<Int>, step: Int, batch: BatchBuffers) -> Bool {
        phases[0]._withUnsafeGuaranteedRef { $0.prefetch(items, step: step, batch: batch) }
    }
}
