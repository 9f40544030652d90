// SPDX-License-Identifier: Apache-2.0

import MartletCompute

/// A program lowered once: phases over resolved memory, run with one wake-up of the workers.
///
/// Unchecked because it owns device memory through its phases. Between `begin` and `end` the workers read the batch and
/// each chunk writes what no other one touches; the pool's barrier orders the phases.
final class CPUGraph: ExecutionGraph, PhasedJob, @unchecked Sendable {
    private let phases: [any Phase]
    private let chunkLimit: Int
    /// Keeps alive what the phases point into.
    private let workspace: CPUWorkspace
    private var batch: BatchBuffers?

    init(phases: [any Phase], workspace: CPUWorkspace, threadCount: Int) {
        self.phases = phases
        self.workspace = workspace
        // About 8 chunks a thread: enough to level out a slow one, few enough to claim cheaply.
        chunkLimit = 8 * threadCount
    }

    func run(_ batch: BatchBuffers, on pool: WorkerPool) {
        self.batch = batch
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
        phases[phase].run(items, worker: worker, batch: batch)
    }
}
