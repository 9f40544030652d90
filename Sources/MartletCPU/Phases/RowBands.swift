// SPDX-License-Identifier: Apache-2.0

import CMartletKernels
import MartletCompute

/// A row-wise phase whose items are rows, dealt in bands. Several of them follow each other on a band of rows without a
/// barrier: each finds in its core's own cache what the one before left, while weights, which all bands read, come from
/// farther away. For many rows that is faster than dividing columns.
package final class RowBands: Phase {
    let phase: RowwisePhase

    package init(phase: RowwisePhase) { self.phase = phase }

    override var name: String { phase.name }

    override func itemCount(_ batch: BatchBuffers) -> Int { phase.extent.count(batch) }

    package override func chunkCount(_ rows: Int, _ policy: ChunkPolicy) -> Int {
        RowBanding(threadCount: policy.threadCount).bandCount(rows: rows)
    }

    package override func items(of rows: Int, chunk: Int, count: Int, _ policy: ChunkPolicy) -> Range<Int> {
        let banding = RowBanding(threadCount: policy.threadCount)
        let (thread, turn) = chunk.quotientAndRemainder(dividingBy: count / policy.threadCount)
        let groups = banding.groups(of: banding.band(of: thread, turn: turn), rows: rows)
        return groups.lowerBound * banding.groupRows..<min(groups.upperBound * banding.groupRows, rows)
    }

    override func run(_ items: Range<Int>, worker: Int, batch: BatchBuffers) {
        phase.run(rows: items, batch: batch)
    }
}

extension RowBanding {
    /// The fewest rows per thread for which it is worthwhile that each thread reads all weights.
    static let minimumRowsPerThread = 64

    /// For 128 rows and more it is worthwhile to read the weights once more. All threads have the same number of bands:
    /// one band more would keep all others waiting.
    package init(threadCount: Int) {
        self.init(
            threadCount: threadCount, groupRows: Int(MARTLET_ROW_GROUP),
            minimumRowsPerThread: Self.minimumRowsPerThread, bandRows: 128, maximumBandsPerThread: 4)
    }
}

extension MartletLinearInput {
    /// From a row on that begins a group.
    func from(row: Int) -> MartletLinearInput {
        let groupBytes = Int(martlet_records(format, columns) * martlet_record_bytes(format))
        return MartletLinearInput(
            base: base + row / Int(MARTLET_ROW_GROUP) * groupBytes, columns: columns, format: format)
    }
}
