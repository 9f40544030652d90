// SPDX-License-Identifier: Apache-2.0

import MartletCompute

/// What the engine's lane of a trace and its spans are called, where a submission's is its runtime mode's `spanName`.
package enum EngineSpan {
    package static let lane = "engine"
    package static let step = "step"
    package static let schedule = "schedule"
    package static let prepare = "prepare"
    package static let plan = "plan attention"
    package static let update = "update"
}

/// The spans of the engine's own thread: what a step is made of.
package final class EngineTrace {
    private let lane: TraceRecorder.Lane
    let step: TraceRecorder.Name
    let schedule: TraceRecorder.Name
    let prepare: TraceRecorder.Name
    let plan: TraceRecorder.Name
    let runEagerly: TraceRecorder.Name
    let runPiecewise: TraceRecorder.Name
    let runFull: TraceRecorder.Name
    let update: TraceRecorder.Name

    init(_ recorder: TraceRecorder) {
        lane = recorder.lane(named: EngineSpan.lane)
        step = recorder.name(EngineSpan.step, values: ["tokens", "sequences", "decodes"])
        schedule = recorder.name(EngineSpan.schedule)
        prepare = recorder.name(EngineSpan.prepare)
        plan = recorder.name(EngineSpan.plan)
        runEagerly = recorder.name(GraphRuntimeMode.none.spanName)
        runPiecewise = recorder.name(GraphRuntimeMode.piecewise.spanName)
        runFull = recorder.name(GraphRuntimeMode.full.spanName)
        update = recorder.name(EngineSpan.update)
    }

    var now: UInt64 { TraceRecorder.now() }

    func record(
        _ name: KeyPath<EngineTrace, TraceRecorder.Name>, from start: UInt64, _ values: TraceRecorder.Values = (0, 0, 0)
    ) {
        lane.record(self[keyPath: name], start: start, end: now, values: values)
    }
}

extension EngineTrace? {
    /// Records how long `body` takes, if there is a trace.
    func span<Result>(
        _ name: KeyPath<EngineTrace, TraceRecorder.Name>, _ body: () throws -> Result
    ) rethrows -> Result {
        guard let self else { return try body() }
        let start = self.now
        defer { self.record(name, from: start) }
        return try body()
    }
}

extension GraphRuntimeMode {
    /// The span of a submission.
    var span: KeyPath<EngineTrace, TraceRecorder.Name> {
        switch self {
        case .none: \.runEagerly
        case .piecewise: \.runPiecewise
        case .full: \.runFull
        }
    }
}

extension StepPlan {
    /// Tokens, sequences, decodes.
    var traceValues: TraceRecorder.Values {
        (Int32(clamping: tokenCount), Int32(clamping: entries.count), Int32(clamping: decodeCount))
    }
}
