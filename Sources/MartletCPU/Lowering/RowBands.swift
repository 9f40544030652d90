// SPDX-License-Identifier: Apache-2.0

import CMartletKernels
import MartletCompute

/// A phase of which each row's results depend on nothing but that row's, so that threads can also divide its rows.
class RowwisePhase: Phase {
    final let extent: RowExtent

    init(extent: RowExtent) { self.extent = extent }

    /// Runs rows that begin with a group of `MARTLET_ROW_GROUP`.
    func run(rows: Range<Int>, batch: BatchBuffers) { preconditionFailure("a row-wise phase runs rows") }
}

/// A row-wise phase whose items are rows, dealt in bands. Several of them follow each other on a band of rows without
/// a barrier: what one leaves the next finds in its core's own cache, while weights, which all bands read, come from
/// farther away. Of many rows that is the better deal.
final class RowBands: Phase {
    let phase: RowwisePhase

    init(phase: RowwisePhase) { self.phase = phase }

    /// Rows for which it pays to read all weights.
    static let leastRowsAThread = 64

    /// Of 128 rows and more it pays to read the weights once more. A band takes so long that one too many would have
    /// all other threads wait.
    static func banding(threadCount: Int) -> RowBanding {
        RowBanding(
            threadCount: threadCount, groupRows: Int(MARTLET_ROW_GROUP), leastRowsAThread: leastRowsAThread,
            bandRows: 128, mostBandsAThread: 4)
    }

    override var name: String { phase.name }

    override func itemCount(_ batch: BatchBuffers) -> Int { phase.extent.count(batch) }

    override func chunkCount(_ rows: Int, _ deal: Deal) -> Int {
        Self.banding(threadCount: deal.threadCount).bandCount(rows: rows)
    }

    override func items(of rows: Int, chunk: Int, count: Int, _ deal: Deal) -> Range<Int> {
        let banding = Self.banding(threadCount: deal.threadCount)
        let (thread, turn) = chunk.quotientAndRemainder(dividingBy: count / deal.threadCount)
        let groups = banding.groups(of: banding.band(of: thread, turn: turn), rows: rows)
        return groups.lowerBound * banding.groupRows..<min(groups.upperBound * banding.groupRows, rows)
    }

    override func run(_ items: Range<Int>, worker: Int, batch: BatchBuffers) {
        phase.run(rows: items, batch: batch)
    }
}

extension Collection where Element == LoweredPhase {
    /// The same phases for many rows: those of tokens that follow each other take bands of rows together. One alone is as
    /// well dealt by columns.
    func inBands() -> [LoweredPhase] {
        var result: [LoweredPhase] = []
        var run: [(phase: LoweredPhase, part: LoweredPhase.Part)] = []
        func endRun() {
            if run.count > 1 {
                let kernels = run[0].phase.kernels.lowerBound...run[run.count - 1].phase.kernels.upperBound
                result.append(LoweredPhase(run.map(\.part), kernels: kernels))
            } else {
                result += run.map(\.phase)
            }
            run.removeAll()
        }
        for phase in self {
            let part = phase.parts[0]
            if phase.parts.count == 1, let rowwise = part.phase as? RowwisePhase, rowwise.extent == .tokens {
                let part = LoweredPhase.Part(phase: RowBands(phase: rowwise), traceName: part.traceName)
                run.append((phase, part))
            } else {
                endRun()
                result.append(phase)
            }
        }
        endRun()
        return result
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
