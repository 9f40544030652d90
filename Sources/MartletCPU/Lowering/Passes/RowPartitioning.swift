// SPDX-License-Identifier: Apache-2.0

import MartletCompute

/// Makes the phases of large batches: row-wise phases of tokens that follow each other take bands of rows together, without
/// a barrier in between. One alone stays, because dividing its columns is as fast.
enum RowPartitioning {
    static func run(_ phases: [LoweredPhase]) -> [LoweredPhase] {
        var result: [LoweredPhase] = []
        var run: [(phase: LoweredPhase, stage: LoweredPhase.Stage)] = []
        func endRun() {
            if run.count > 1 {
                let kernels = run[0].phase.kernels.lowerBound...run[run.count - 1].phase.kernels.upperBound
                result.append(LoweredPhase(run.map(\.stage), kernels: kernels))
            } else {
                result += run.map(\.phase)
            }
            run.removeAll()
        }
        for phase in phases {
            let stage = phase.stages[0]
            if phase.stages.count == 1, let rowwise = stage.phase as? RowwisePhase, rowwise.extent == .tokens {
                let banded = LoweredPhase.Stage(phase: RowBands(phase: rowwise), traceName: stage.traceName)
                run.append((phase, banded))
            } else {
                endRun()
                result.append(phase)
            }
        }
        endRun()
        return result
    }
}
