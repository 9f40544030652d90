// SPDX-License-Identifier: Apache-2.0

import MartletCompute

/// Records which thread works on which phase. Chunks of one phase that a thread claims one after the other are one span,
/// if the phase has one stage.
///
/// Unchecked because each thread uses its own entry and its own lane; worker 0 is the thread that submits.
final class PhaseTrace: @unchecked Sendable {
    private struct Open {
        var phase: Int
        var stage: Int
        var start: UInt64
        /// The next thread's is on another cache line, and not on the neighbouring one either.
        private let after = InlineArray<16, UInt64>(repeating: 0)

        init(phase: Int = -1, stage: Int = 0, start: UInt64 = 0) {
            self.phase = phase
            self.stage = stage
            self.start = start
        }
    }

    private let lanes: [TraceRecorder.Lane]
    private let open: UnsafeMutableBufferPointer<Open>

    init(recorder: TraceRecorder, threadCount: Int) {
        lanes = (0..<threadCount).map { recorder.lane(named: "worker \($0)") }
        open = .allocate(capacity: threadCount)
        open.initialize(repeating: Open())
    }

    deinit { open.deallocate() }

    /// A run's spans are its own, even where a thread does nothing else between two runs.
    func begin() { open.update(repeating: Open()) }

    func record(
        _ name: TraceRecorder.Name, phase: Int, stage: Int, worker: Int, items: Int, start: UInt64
    ) {
        let end = TraceRecorder.now()
        if open[worker].phase == phase, open[worker].stage == stage,
            lanes[worker].extend(name, start: open[worker].start, end: end, value: Int32(items))
        {
            return
        }
        open[worker] = Open(phase: phase, stage: stage, start: start)
        lanes[worker].record(name, start: start, end: end, values: (Int32(items), 0, 0))
    }
}
