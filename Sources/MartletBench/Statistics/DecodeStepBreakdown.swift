// SPDX-License-Identifier: Apache-2.0

public import MartletCompute

/// What the engine's thread did in steps that computed the next token of one answer and nothing else.
public struct DecodeStepBreakdown: Equatable, Sendable {
    public private(set) var steps = 0
    /// Seconds of all those steps together, and the parts of it.
    public private(set) var total = 0.0
    public private(set) var kernels = 0.0
    /// Claiming work, and waiting for other threads, while a program runs.
    public private(set) var betweenKernels = 0.0
    /// Scheduling, writing the batch, planning attention, handing out tokens.
    public private(set) var host = 0.0
    public private(set) var median = 0.0

    /// Reads a trace's first lane, the engine's thread. A step's own span ends behind those of its parts.
    public init(_ trace: TraceRecorder) {
        let submissions = Set(GraphRuntimeMode.allCases.map(\.spanName))
        let parts: Set = ["schedule", "prepare", "plan attention", "update"]
        var (kernels, programs): (UInt64, UInt64) = (0, 0)
        var durations: [UInt64] = []
        trace.forEachSpan(lane: 0) { name, time, values in
            let duration = time.upperBound - time.lowerBound
            switch name {
            case "step":
                if values == (1, 1, 1) {
                    durations.append(duration)
                    total += Double(duration) / 1e9
                    self.kernels += Double(kernels) / 1e9
                    betweenKernels += Double(programs - min(programs, kernels)) / 1e9
                    host += Double(duration - min(duration, programs)) / 1e9
                }
                (kernels, programs) = (0, 0)
            case _ where submissions.contains(name): programs += duration
            case _ where parts.contains(name): break
            default: kernels += duration
            }
        }
        steps = durations.count
        durations.sort()
        median = steps > 0 ? Double(durations[steps / 2]) / 1e9 : 0
    }
}
