// SPDX-License-Identifier: Apache-2.0

import MartletCompute

/// A step in the memory that the device reads, from its preparation to its last sample. The memory serves many steps, one
/// after the other.
final class PreparedStep {
    let batch: BatchBuffers
    /// The rows of the step's output, before the device has filled in what it samples.
    private(set) var rows: [StepOutput.Row] = []
    /// For each of `rows`, the batch's row whose logits are wanted and how a token is drawn from them.
    private var logitRows: [(row: Int32, sampling: SamplingRow)] = []
    /// The block table entries that only the other memory holds, where there is another.
    var missedBlocks: MissedBlocks

    /// Those of `rows` that the device computes at present.
    var headRows = 0..<0
    var mode = GraphRuntimeMode.none
    /// The submitted graphs; the array is kept, so that a step allocates nothing.
    var graphs: [any ExecutionGraph] = []
    var completion = Completion.finished
    /// When graphs were submitted last, if there is a trace.
    var submittedAt: UInt64 = 0

    init(_ capacity: BatchCapacity, on device: any ComputeDevice) throws {
        batch = BatchBuffers(
            capacity: capacity, memory: try device.makeBatchMemory(byteCount: BatchLayout(capacity).byteCount))
        missedBlocks = MissedBlocks(rows: capacity.sequences)
    }

    /// Writes who computes which positions, and in which blocks.
    func write(_ plan: StepPlan, blockSize: Int) {
        rows.removeAll(keepingCapacity: true)
        var row = 0
        for (index, entry) in plan.entries.enumerated() {
            let sequence = entry.sequence
            batch.queryStartLocations[index] = Int32(row)
            batch.sequenceLengths[index] = Int32(entry.positions.upperBound)
            for position in sequence.scoredPositions(entry.positions) {
                rows.append(StepOutput.Row(entry: index, position: position, isSample: false))
            }
            if entry.samples {
                rows.append(StepOutput.Row(entry: index, position: entry.positions.upperBound - 1, isSample: true))
            }
            for (group, table) in sequence.blockTables.enumerated() {
                let slots = batch.slots(ofGroup: group)
                for (offset, position) in entry.positions.enumerated() {
                    let block = Int64(table.blocks[position / blockSize])
                    slots[row + offset] = block * Int64(blockSize) + Int64(position % blockSize)
                }
            }
            for position in entry.positions {
                batch.positions[row] = Int32(position)
                row += 1
            }
            writeTables(of: entry)
            batch.tableRows[index] = Int32(sequence.tableRow)
        }
        batch.queryStartLocations[plan.entries.count] = Int32(row)
        batch.tokenCount = row
        batch.sequenceCount = plan.entries.count
    }

    /// Writes the blocks of the sequence that its rows don't hold since an earlier step. Blocks that were given back stay
    /// there; no kernel reads them.
    private func writeTables(of entry: ScheduledSequence) {
        let sequence = entry.sequence
        let first = missedBlocks.takeFirst(of: entry)
        for (group, table) in sequence.blockTables.enumerated() {
            let row = batch.blockTable(row: sequence.tableRow, group: group)
            for index in max(first, table.firstHeld)..<max(first, table.firstHeld, table.blocks.count) {
                row[index] = table.blocks[index]
            }
        }
    }

    /// Writes what depends on the tokens of the step before: the tokens themselves, and how the next ones are drawn.
    func writeTokens(of plan: StepPlan) {
        logitRows.removeAll(keepingCapacity: true)
        for (index, entry) in plan.entries.enumerated() {
            let sequence = entry.sequence
            let first = Int(batch.queryStartLocations[index])
            for position in entry.positions {
                // What is computed in vain may lack its token.
                let token = position < sequence.tokens.count ? sequence.tokens[position] : 0
                batch.tokenIDs[first + position - entry.positions.lowerBound] = token
            }
            while logitRows.count < rows.count, rows[logitRows.count].entry == index {
                let (position, isSample) = (rows[logitRows.count].position, rows[logitRows.count].isSample)
                let sampling =
                    isSample ? samplingRow(of: sequence) : sequence.request.scoringRow(position: position + 1)
                logitRows.append((Int32(first + position - entry.positions.lowerBound), sampling))
            }
        }
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

    /// The step's extent, as graphs are chosen by it.
    func extent(decodeLength: Int) -> GraphExtent {
        let isUniform = (0..<batch.sequenceCount).allSatisfy { batch.rows(of: $0).count == decodeLength }
        return GraphExtent(rows: batch.tokenCount, sequences: batch.sequenceCount, isUniformDecode: isUniform)
    }

    /// Attention kernels of one layer. A layer's launches are those of its plan; the plans of one step agree in which
    /// sequences are decodes.
    var attentionLaunches: Int {
        (batch.plans[0].prefillCount > 0 ? 1 : 0) + (batch.plans[0].decodeCount > 0 ? 1 : 0)
    }

    func writeHeadRows() {
        for (index, row) in logitRows[headRows].enumerated() {
            batch.logitRows[index] = row.row
            batch.sampling[index] = row.sampling
        }
        batch.logitRowCount = headRows.count
    }

    /// Adds what the device found for `headRows` to the output's rows.
    func readSamples(into output: inout StepOutput) {
        for (index, row) in headRows.enumerated() {
            output.rows[row].sampled = batch.samples[index]
            let start = index * batch.capacity.topLogprobs
            let first = output.topLogprobs.count
            output.topLogprobs.append(
                contentsOf: batch.topLogprobs[start..<start + Int(batch.sampling[index].topLogprobs)])
            output.rows[row].top = first..<output.topLogprobs.count
        }
    }
}
