// SPDX-License-Identifier: Apache-2.0

import CMartletKernels
import MartletCompute

/// A phase of which each row's results depend on nothing but that row's, so that threads can also divide its rows.
protocol RowwisePhase: Phase {
    var extent: RowExtent { get }
    /// Runs rows that begin with a group of `MARTLET_ROW_GROUP`.
    func run(rows: Range<Int>, batch: BatchBuffers)
}

/// A row-wise phase whose items are groups of rows. Several of them follow each other on a band of rows without a barrier:
/// what one leaves the next finds in its core's own cache, while weights, which all bands read, come from farther away.
/// Of many rows that is the better deal.
struct RowBands: Phase {
    let phase: any RowwisePhase

    private static let groupRows = Int(MARTLET_ROW_GROUP)
    /// Rows for which it pays to read all weights once more.
    static let leastRows = 64

    /// Whether there is a band for each thread.
    static func pay(rows: Int, threadCount: Int) -> Bool { rows >= leastRows * threadCount }

    var name: String { phase.name }

    var leastItemsAChunk: Int { Self.leastRows / Self.groupRows }

    func itemCount(_ batch: BatchBuffers) -> Int {
        (phase.extent.count(batch) + Self.groupRows - 1) / Self.groupRows
    }

    func run(_ items: Range<Int>, worker: Int, batch: BatchBuffers) {
        let rows = items.lowerBound * Self.groupRows..<items.upperBound * Self.groupRows
        phase.run(rows: rows.clamped(to: 0..<phase.extent.count(batch)), batch: batch)
    }
}

extension Collection where Element == LoweredPhase {
    /// The same phases for many rows: those of tokens that follow each other take bands of rows together.
    func inBands() -> [LoweredPhase] {
        var result: [LoweredPhase] = []
        var open: LoweredPhase?
        for phase in self {
            guard phase.parts.count == 1, let rowwise = phase.parts[0].phase as? any RowwisePhase,
                rowwise.extent == .tokens
            else {
                if let band = open { result.append(band) }
                open = nil
                result.append(phase)
                continue
            }
            let part = LoweredPhase.Part(phase: RowBands(phase: rowwise), traceName: phase.parts[0].traceName)
            let begun = open.map { ($0.parts, $0.kernels.lowerBound) } ?? ([], phase.kernels.lowerBound)
            open = LoweredPhase(begun.0 + [part], kernels: begun.1...phase.kernels.upperBound)
        }
        if let band = open { result.append(band) }
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
