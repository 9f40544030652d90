// SPDX-License-Identifier: Apache-2.0

import MartletCompute

/// What lies between two barriers of a graph: independent items, dealt to threads in chunks.
protocol Phase {
    /// For traces and people.
    var name: String { get }
    /// How many items the batch gives it.
    func itemCount(_ batch: BatchBuffers) -> Int
    /// More chunks balance better and cost more claims; nil leaves it to the graph.
    var chunkLimit: Int? { get }
    func run(_ items: Range<Int>, worker: Int, batch: BatchBuffers)
}

extension Phase {
    var chunkLimit: Int? { nil }
}

/// A phase as a graph holds it.
struct LoweredPhase {
    var phase: any Phase
    /// The kernels that it does, or does a part of.
    var kernels: ClosedRange<Int>
    /// What it is called in the trace, if there is one.
    var traceName: TraceRecorder.Name?

    init(_ phase: any Phase, kernel: Int) {
        self.phase = phase
        kernels = kernel...kernel
    }
}

extension RowExtent {
    func count(_ batch: BatchBuffers) -> Int {
        switch self {
        case .tokens: batch.tokenCount
        case .logitRows: batch.logitRowCount
        }
    }
}

/// Work on one row that reads and writes no other row's activations, so that several can follow each other on a row
/// without a barrier.
protocol RowOperation {
    var name: String { get }
    func run(row: Int, batch: BatchBuffers)
}

/// Row operations in order, a row an item.
struct RowsPhase: Phase {
    let extent: RowExtent
    var operations: [any RowOperation]

    var name: String { operations.map(\.name).joined(separator: " + ") }

    func itemCount(_ batch: BatchBuffers) -> Int { extent.count(batch) }

    func run(_ items: Range<Int>, worker: Int, batch: BatchBuffers) {
        for row in items {
            for operation in operations { operation.run(row: row, batch: batch) }
        }
    }
}
