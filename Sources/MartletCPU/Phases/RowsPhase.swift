// SPDX-License-Identifier: Apache-2.0

import CMartletKernels
import MartletCompute

/// Work on one row that reads and writes no other row's activations, so that several can follow each other on a row
/// without a barrier.
protocol RowOperation {
    var name: String { get }
    func run(rows: Range<Int>, batch: BatchBuffers)
}

/// Row operations in order, a row an item.
package final class RowsPhase: RowwisePhase {
    let operations: [any RowOperation]
    /// The operations that run for a batch of one row. Each thread that reads the row computes the others itself.
    private let operationsOfSingleRow: [any RowOperation]

    init(extent: RowExtent, operations: [any RowOperation], skippedForSingleRow: Int = 0) {
        self.operations = operations
        operationsOfSingleRow = operations.dropLast(skippedForSingleRow)
        super.init(extent: extent)
    }

    override var name: String { operations.map(\.name).joined(separator: " + ") }

    /// A row takes a microsecond or two, about as long as claiming a chunk.
    override var minimumChunk: Int { 2 }

    private func operations(_ batch: BatchBuffers) -> [any RowOperation] {
        SingleRowInput.applies(to: extent, batch) ? operationsOfSingleRow : operations
    }

    override func itemCount(_ batch: BatchBuffers) -> Int { operations(batch).isEmpty ? 0 : extent.count(batch) }

    override func run(_ items: Range<Int>, worker: Int, batch: BatchBuffers) { run(rows: items, batch: batch) }

    override func run(rows: Range<Int>, batch: BatchBuffers) {
        let operations = operations(batch)
        for group in rows.rowGroups { for operation in operations { operation.run(rows: group, batch: batch) } }
    }
}

extension RowExtent {
    /// Rows of the batch.
    func count(_ batch: BatchBuffers) -> Int {
        switch self {
        case .tokens: batch.tokenCount
        case .logitRows: batch.logitRowCount
        }
    }
}

extension Range<Int> {
    /// Rows in order, in groups that fit the first cache and are large enough to hide the cost of calling an operation.
    var rowGroups: some Sequence<Range<Int>> {
        stride(from: lowerBound, to: upperBound, by: Int(MARTLET_ROW_GROUP)).lazy.map {
            $0..<Swift.min($0 + Int(MARTLET_ROW_GROUP), upperBound)
        }
    }
}
