// SPDX-License-Identifier: Apache-2.0

import MartletAttention
import MartletCompute

/// Runs steps: writes a step's geometry into the batch's buffers, plans its attention, has the graphs picked, submits
/// body and head together.
final class ModelRunner: StepRunner {
    private let capacity: BatchCapacity
    private let device: any ComputeDevice
    private let cache: any KeyValueCache
    private let dispatcher: GraphDispatcher
    private let batch: BatchBuffers
    /// One for each plan of the batch.
    private let planners: [AttentionPlanner]
    /// Query tokens of a decode.
    private let decodeLength: Int
    private let trace: EngineTrace?
    /// Rows of the step whose logits are wanted, beside the output's rows.
    private var logitRows: [(row: Int32, sampling: SamplingRow)] = []
    /// What is submitted; kept, so that a step allocates nothing.
    private var graphs: [any ExecutionGraph] = []

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
        batch = BatchBuffers(
            capacity: capacity, memory: try device.makeBatchMemory(byteCount: BatchLayout(capacity).byteCount))
    }

    func run(_ plan: StepPlan, into output: inout StepOutput) throws {
        output.removeAll()
        trace.span(\.prepare) { prepare(plan, &output) }
        trace.span(\.plan) { for planner in planners { planner.plan(batch) } }
        let body = dispatcher.dispatch(body: descriptor)
        output.runtimeMode = body.mode
        // A layer's launches are those of its plan; the plans of one step agree in which sequences are decodes.
        output.attentionLaunches = (batch.plans[0].prefillCount > 0 ? 1 : 0) + (batch.plans[0].decodeCount > 0 ? 1 : 0)
        batch.padTokens(to: body.paddedRows ?? batch.tokenCount)
        // The body leaves what the head needs of all rows; the head takes as many of them at a time as it holds.
        var start = 0
        repeat {
            let rows = start..<min(start + capacity.logitRows, logitRows.count)
            graphs.removeAll(keepingCapacity: true)
            if start == 0 { graphs.append(body.graph) }
            if !rows.isEmpty {
                let head = dispatcher.dispatch(head: rows.count, beside: body.mode)
                write(rows)
                batch.padLogitRows(to: head.paddedRows ?? rows.count)
                graphs.append(head.graph)
            }
            try trace.span(body.mode.span) { try device.submit(graphs, batch: batch).wait() }
            read(rows, into: &output)
            start = rows.upperBound
        } while start < logitRows.count
    }

    func populate(_ blocks: Range<Int>) { device.populate(cache, blocks: blocks) }

    /// The step's extent, as graphs are chosen by it.
    private var descriptor: BatchDescriptor {
        let isUniform = (0..<batch.sequenceCount).allSatisfy { batch.rows(of: $0).count == decodeLength }
        return BatchDescriptor(
            tokens: batch.tokenCount, sequences: batch.sequenceCount, uniformDecode: isUniform)
    }

    private func prepare(_ plan: StepPlan, _ output: inout StepOutput) {
        precondition(plan.entries.count <= capacity.sequences, "too many sequences in a step")
        precondition(plan.tokenCount <= capacity.tokens, "too many tokens in a step")
        logitRows.removeAll(keepingCapacity: true)
        let blockSize = cache.layout.blockSize
        var row = 0
        for (index, entry) in plan.entries.enumerated() {
            let sequence = entry.sequence
            let range = sequence.computedCount..<sequence.computedCount + entry.tokenCount
            batch.queryStartLocations[index] = Int32(row)
            batch.sequenceLengths[index] = Int32(range.upperBound)
            for position in sequence.scoredPositions(range) {
                output.rows.append(StepOutput.Row(entry: index, position: position, isSample: false))
                logitRows.append(
                    (Int32(row + position - range.lowerBound), sequence.request.scoringRow(position: position + 1)))
            }
            if sequence.samples(upTo: range.upperBound) {
                output.rows.append(StepOutput.Row(entry: index, position: range.upperBound - 1, isSample: true))
                logitRows.append((Int32(row + entry.tokenCount - 1), samplingRow(of: sequence)))
            }
            for position in range {
                batch.tokenIDs[row] = sequence.tokens[position]
                batch.positions[row] = Int32(position)
                let block = Int64(sequence.blockTable[position / blockSize])
                batch.slotMapping[row] = block * Int64(blockSize) + Int64(position % blockSize)
                row += 1
            }
            // Its row holds the blocks before these since an earlier step.
            batch.tableRows[index] = Int32(sequence.tableRow)
            let table = sequence.tableRow * capacity.blocksPerSequence
            for place in sequence.firstChangedBlock..<sequence.blockTable.count {
                batch.blockTables[table + place] = sequence.blockTable[place]
            }
        }
        batch.queryStartLocations[plan.entries.count] = Int32(row)
        batch.tokenCount = row
        batch.sequenceCount = plan.entries.count
    }

    /// How a sequence's next token is drawn; writes its edits into the batch.
    private func samplingRow(of sequence: SequenceState) -> SamplingRow {
        let request = sequence.request
        var row = request.samplingRow(sample: sequence.sampleIndex, position: sequence.tokens.count)
        guard request.hasLogitEdits else { return row }
        let (edits, index) = (batch.logitEdits, sequence.tableRow)
        row.editedSequence = Int32(index)
        edits.clear(index)
        if let mask = request.allowedTokens { edits.setMask(mask, of: index) }
        for word in request.badWords where sequence.endsIn(word.dropLast()) {
            if let last = word.last { edits.append(TokenBias(token: last, bias: -.infinity), to: index) }
        }
        if sequence.answerCount < request.minTokens {
            for token in request.earlyTokens { edits.append(TokenBias(token: token, bias: -.infinity), to: index) }
        }
        for bias in request.biases { edits.append(bias, to: index) }
        if let history = sequence.history {
            history.counts.withUnsafeBufferPointer { edits.setCounts($0, of: index) }
        }
        return row
    }

    private func write(_ rows: Range<Int>) {
        for (index, row) in rows.enumerated() {
            batch.logitRows[index] = logitRows[row].row
            batch.sampling[index] = logitRows[row].sampling
        }
        batch.logitRowCount = rows.count
    }

    private func read(_ rows: Range<Int>, into output: inout StepOutput) {
        for (index, row) in rows.enumerated() {
            output.rows[row].sampled = batch.samples[index]
            let top =
                index * capacity.topLogprobs..<index * capacity.topLogprobs
                + Int(batch.sampling[index].topLogprobs)
            let first = output.topLogprobs.count
            output.topLogprobs.append(contentsOf: batch.topLogprobs[top])
            output.rows[row].top = first..<output.topLogprobs.count
        }
    }
}
