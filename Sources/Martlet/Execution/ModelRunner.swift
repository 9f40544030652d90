// SPDX-License-Identifier: Apache-2.0

import MartletAttention
import MartletCompute

/// Runs steps: writes a step's geometry into the batch's buffers, plans its attention, has the graphs picked, submits
/// body and head together.
///
/// Where the device runs steps by itself there are two batches, in turn: one is written while the device reads the other.
final class ModelRunner: StepRunner {
    let preparesAhead: Bool
    private let capacity: BatchCapacity
    private let device: any ComputeDevice
    private let cache: any KeyValueCache
    private let dispatcher: GraphDispatcher
    /// One for each plan of a batch.
    private let planners: [AttentionPlanner]
    /// Query tokens of a decode.
    private let decodeLength: Int
    private let trace: EngineTrace?
    /// The step that is prepared, or will be next.
    private var prepared: PreparedStep
    /// The step that is submitted; the same object where none is prepared meanwhile.
    private var submitted: PreparedStep

    /// A parameter for each collaborator.
    ///
    /// - Parameters:
    ///   - cache: that of the dispatcher's programs.
    ///   - dispatcher: over the workspace's programs.
    ///   - planners: one for each attention group of the programs.
    init(
        device: any ComputeDevice, cache: any KeyValueCache, dispatcher: GraphDispatcher,
        planners: [AttentionPlanner], decodeLength: Int, capacity: BatchCapacity, trace: EngineTrace?
    ) throws {
        self.capacity = capacity
        self.device = device
        self.cache = cache
        self.dispatcher = dispatcher
        self.planners = planners
        self.decodeLength = decodeLength
        self.trace = trace
        preparesAhead = device.runsAsynchronously
        prepared = try PreparedStep(capacity, on: device)
        submitted = device.runsAsynchronously ? try PreparedStep(capacity, on: device) : prepared
    }

    func populate(_ blocks: Range<Int>) { device.populate(cache, blocks: blocks) }

    func prepare(_ plan: StepPlan) {
        precondition(plan.entries.count <= capacity.sequences, "too many sequences in a step")
        precondition(plan.tokenCount <= capacity.tokens, "too many tokens in a step")
        trace.span(\.prepare) {
            prepared.write(plan, blockSize: cache.shape.blockSize)
            if preparesAhead { submitted.missedBlocks.noteWritten(elsewhere: plan) }
        }
        trace.span(\.plan) { for planner in planners { planner.plan(prepared.batch) } }
    }

    func submit(_ plan: StepPlan) throws {
        if preparesAhead { swap(&prepared, &submitted) }
        let step = submitted
        step.writeTokens(of: plan)
        let body = dispatcher.dispatch(body: step.extent(decodeLength: decodeLength))
        step.mode = body.mode
        step.batch.padTokens(to: body.paddedRows ?? step.batch.tokenCount)
        step.graphs.removeAll(keepingCapacity: true)
        step.graphs.append(body.graph)
        try submitHead(of: step, from: 0)
    }

    /// Submits the step's graphs with that of the next rows of logits; as many of them at a time as the head holds.
    private func submitHead(of step: PreparedStep, from start: Int) throws {
        step.headRows = start..<min(start + capacity.logitRows, step.rows.count)
        if !step.headRows.isEmpty {
            let head = dispatcher.dispatch(head: step.headRows.count, beside: step.mode)
            step.writeHeadRows()
            step.batch.padLogitRows(to: head.paddedRows ?? step.headRows.count)
            step.graphs.append(head.graph)
        }
        step.submittedAt = trace?.now ?? 0
        step.completion = try device.submit(step.graphs, batch: step.batch)
    }

    func finish(_ plan: StepPlan, into output: inout StepOutput) throws {
        let step = submitted
        output.removeAll()
        output.runtimeMode = step.mode
        output.attentionLaunches = step.attentionLaunches
        output.rows.append(contentsOf: step.rows)
        try wait(for: step)
        step.readSamples(into: &output)
        // The body has left what the head needs of all rows.
        while step.headRows.upperBound < step.rows.count {
            step.graphs.removeAll(keepingCapacity: true)
            try submitHead(of: step, from: step.headRows.upperBound)
            try wait(for: step)
            step.readSamples(into: &output)
        }
    }

    private func wait(for step: PreparedStep) throws {
        defer { trace?.record(step.mode.span, from: step.submittedAt) }
        try step.completion.wait()
    }
}
