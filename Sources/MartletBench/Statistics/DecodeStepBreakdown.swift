// SPDX-License-Identifier: Apache-2.0

import Martlet
package import MartletCompute

/// What the engine's thread did in steps that computed the next token of one answer and nothing else.
package struct DecodeStepBreakdown: Equatable, Sendable {
    package private(set) var steps = 0
    /// Seconds of all those steps together, and the parts of it.
    package private(set) var total = 0.0
    package private(set) var kernels = 0.0
    /// Claiming work, and waiting for other threads, while a program runs.
    package private(set) var betweenKernels = 0.0
    /// Scheduling, writing the batch, planning attention, handing out tokens.
    package private(set) var host = 0.0
    package private(set) var median = 0.0

    /// Reads the engine's lane of a trace and that of the worker on the same thread. A step's own span ends behind those of
    /// its parts.
    package init(_ trace: TraceRecorder) {
        let submissions = Set(GraphRuntimeMode.allCases.map(\.spanName))
        let parts: Set = [EngineSpan.schedule, EngineSpan.prepare, EngineSpan.plan, EngineSpan.update]
        var (kernels, programs): (UInt64, UInt64) = (0, 0)
        var durations: [UInt64] = []
        let spans = (trace.spans(ofLanes: EngineSpan.lane) + trace.spans(ofLanes: "worker 0")).sorted {
            $0.time.upperBound < $1.time.upperBound
        }
        for span in spans {
            let duration = span.time.upperBound - span.time.lowerBound
            switch span.name {
            case EngineSpan.step:
                if span.values == (1, 1, 1) {
                    durations.append(duration)
                    total += Double(duration) / 1e9
                    self.kernels += Double(kernels) / 1e9
                    betweenKernels += Double(programs - min(programs, kernels)) / 1e9
                    host += Double(duration - min(duration, programs)) / 1e9
                }
                (kernels, programs) = (0, 0)
            case _ where submissions.contains(span.name): programs += duration
            case _ where parts.contains(span.name): break
            default: kernels += duration
            }
        }
        steps = durations.count
        durations.sort()
        median = steps > 0 ? Double(durations[steps / 2]) / 1e9 : 0
    }
}
