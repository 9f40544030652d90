// SPDX-License-Identifier: Apache-2.0

import MartletAttention
import MartletCompute

/// Runs steps: writes a step's geometry into the batch's buffers, plans its attention, submits body and head.
final class ModelRunner {
    let capacity: BatchCapacity
    let blockSize: Int
    private let device: any ComputeDevice
    private let body: any ExecutionGraph
    private let head: any ExecutionGraph
    private let batch: BatchBuffers
    private let planner: AttentionPlanner

    init(
        device: any ComputeDevice, programs: DecoderPrograms, weights: [String: any DeviceWeight],
        cacheLayout: CacheLayout, capacity: BatchCapacity, heads: AttentionHeads, attentionLaunch: AttentionLaunch
    ) throws {
        let bindings = ProgramBindings(
            weights: weights, cache: try device.allocateCache(cacheLayout),
            workspace: try device.makeWorkspace(capacity))
        self.capacity = capacity
        self.device = device
        blockSize = cacheLayout.blockSize
        body = try device.compile(programs.body, bindings: bindings)
        head = try device.compile(programs.head, bindings: bindings)
        batch = BatchBuffers(capacity: capacity)
        planner = AttentionPlanner(
            geometry: device.attentionGeometry(for: heads), heads: heads,
            // A submission is one graph with attention inside.
            splits: attentionLaunch.splits(isFullGraph: true))
    }

    /// Computes the sequences' tokens and returns a sample for each logit row, in order.
    ///
    /// - Precondition: the step fits the capacity.
    func run(_ sequences: [ScheduledSequence]) -> [SampledToken] {
        let rows = prepare(sequences)
        planner.plan(batch)
        device.submit(body, batch: batch).wait()
        return sample(rows)
    }

    private func prepare(_ sequences: [ScheduledSequence]) -> [(row: Int32, sampling: SamplingRow)] {
        precondition(sequences.count <= capacity.sequences, "too many sequences in a step")
        var rows: [(row: Int32, sampling: SamplingRow)] = []
        var row = 0
        for (index, sequence) in sequences.enumerated() {
            precondition(row + sequence.tokens.count <= capacity.tokens, "too many tokens in a step")
            batch.queryStartLocations[index] = Int32(row)
            rows += sequence.logitRows.map { (Int32(row + $0.offset), $0.sampling) }
            for (offset, token) in sequence.tokens.enumerated() {
                let position = sequence.contextLength + offset
                batch.tokenIDs[row] = token
                batch.positions[row] = Int32(position)
                batch.slotMapping[row] =
                    Int64(sequence.blockTable[position / blockSize]) * Int64(blockSize) + Int64(position % blockSize)
                row += 1
            }
            batch.sequenceLengths[index] = Int32(sequence.contextLength + sequence.tokens.count)
            let table = index * capacity.blocksPerSequence
            for (place, block) in sequence.blockTable.enumerated() { batch.blockTables[table + place] = block }
        }
        batch.queryStartLocations[sequences.count] = Int32(row)
        batch.tokenCount = row
        batch.sequenceCount = sequences.count
        return rows
    }

    /// Runs the head over the rows, as many at a time as it holds.
    private func sample(_ rows: [(row: Int32, sampling: SamplingRow)]) -> [SampledToken] {
        var samples: [SampledToken] = []
        for start in stride(from: 0, to: rows.count, by: capacity.logitRows) {
            let part = rows[start..<min(start + capacity.logitRows, rows.count)]
            for (index, entry) in part.enumerated() {
                batch.logitRows[index] = entry.row
                batch.sampling[index] = entry.sampling
            }
            batch.logitRowCount = part.count
            device.submit(head, batch: batch).wait()
            samples += batch.samples[..<part.count]
        }
        return samples
    }
}
