// SPDX-License-Identifier: Apache-2.0

import MartletAttention
import MartletCompute

/// Runs steps: writes a step's geometry into the batch's buffers, plans its attention, submits body and head.
final class ModelRunner: StepRunner {
    private let capacity: BatchCapacity
    private let blockSize: Int
    private let device: any ComputeDevice
    private let body: any ExecutionGraph
    private let head: any ExecutionGraph
    private let batch: BatchBuffers
    private let planner: AttentionPlanner
    private let trace: EngineTrace?
    /// Rows of the step whose logits are wanted, beside the output's rows.
    private var logitRows: [(row: Int32, sampling: SamplingRow)] = []

    init(
        device: any ComputeDevice, programs: DecoderPrograms, weights: [String: any DeviceWeight],
        cacheLayout: CacheLayout, capacity: BatchCapacity, heads: AttentionHeads, attentionLaunch: AttentionLaunch,
        trace: EngineTrace?
    ) throws {
        let bindings = ProgramBindings(
            weights: weights, cache: try device.allocateCache(cacheLayout),
            workspace: try device.makeWorkspace(capacity))
        self.capacity = capacity
        self.device = device
        self.trace = trace
        blockSize = cacheLayout.blockSize
        body = try device.compile(programs.body, bindings: bindings)
        head = try device.compile(programs.head, bindings: bindings)
        batch = BatchBuffers(capacity: capacity)
        planner = AttentionPlanner(
            geometry: device.attentionGeometry(for: heads), heads: heads,
            // A submission is one graph with attention inside.
            splits: attentionLaunch.splits(isFullGraph: true))
    }

    func run(_ plan: StepPlan, into output: inout StepOutput) {
        output.removeAll()
        trace.span(\.prepare) { prepare(plan, &output) }
        trace.span(\.plan) { planner.plan(batch) }
        trace.span(\.body) { device.submit(body, batch: batch).wait() }
        trace.span(\.head) { sample(into: &output) }
    }

    private func prepare(_ plan: StepPlan, _ output: inout StepOutput) {
        precondition(plan.entries.count <= capacity.sequences, "too many sequences in a step")
        precondition(plan.tokenCount <= capacity.tokens, "too many tokens in a step")
        logitRows.removeAll(keepingCapacity: true)
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
                logitRows.append((Int32(row + entry.tokenCount - 1), samplingRow(of: sequence, index: index)))
            }
            for position in range {
                batch.tokenIDs[row] = sequence.tokens[position]
                batch.positions[row] = Int32(position)
                let block = Int64(sequence.blockTable[position / blockSize])
                batch.slotMapping[row] = block * Int64(blockSize) + Int64(position % blockSize)
                row += 1
            }
            let table = index * capacity.blocksPerSequence
            for place in sequence.blockTable.indices { batch.blockTables[table + place] = sequence.blockTable[place] }
        }
        batch.queryStartLocations[plan.entries.count] = Int32(row)
        batch.tokenCount = row
        batch.sequenceCount = plan.entries.count
    }

    /// How a sequence's next token is drawn; writes its edits into the batch.
    private func samplingRow(of sequence: SequenceState, index: Int) -> SamplingRow {
        let request = sequence.request
        var row = request.samplingRow(sample: sequence.sampleIndex, position: sequence.tokens.count)
        guard request.hasLogitEdits else { return row }
        row.editedSequence = Int32(index)
        let edits = batch.logitEdits
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

    /// Runs the head over the rows, as many at a time as it holds.
    private func sample(into output: inout StepOutput) {
        for start in stride(from: 0, to: logitRows.count, by: capacity.logitRows) {
            let count = min(capacity.logitRows, logitRows.count - start)
            for index in 0..<count {
                batch.logitRows[index] = logitRows[start + index].row
                batch.sampling[index] = logitRows[start + index].sampling
            }
            batch.logitRowCount = count
            device.submit(head, batch: batch).wait()
            for index in 0..<count {
                output.rows[start + index].sampled = batch.samples[index]
                let top =
                    index * capacity.topLogprobs..<index * capacity.topLogprobs
                    + Int(batch.sampling[index].topLogprobs)
                let first = output.topLogprobs.count
                output.topLogprobs.append(contentsOf: batch.topLogprobs[top])
                output.rows[start + index].top = first..<output.topLogprobs.count
            }
        }
    }
}
