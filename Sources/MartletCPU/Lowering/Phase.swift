// SPDX-License-Identifier: Apache-2.0

import CMartletKernels
import MartletCompute

/// The work between two barriers of a graph: independent items, which threads claim in chunks.
///
/// A phase points into weights, workspace and cache; its graph's piece keeps them alive. It is a class and not a protocol
/// so that threads don't count references to it: they claim chunks several thousand times a step, and each count would
/// move a cache line from one core to another.
class Phase {
    /// For traces and people.
    var name: String { preconditionFailure("a phase has a name") }
    /// Whether items differ so much in length that each is claimed alone, as long as the pool can count them.
    var dealsItemsSingly: Bool { false }
    /// The smallest chunk, in items.
    var leastItemsAChunk: Int { 1 }
    /// The smallest chunk worth stealing, in items.
    var leastItemsLeft: Int { leastItemsAChunk }

    /// How many items the batch gives it.
    func itemCount(_ batch: BatchBuffers) -> Int { preconditionFailure("a phase has items") }

    func run(_ items: Range<Int>, worker: Int, batch: BatchBuffers) { preconditionFailure("a phase runs") }

    /// Prefetches the `step`th piece of what these items will read; false where there is no such piece.
    func prefetch(_ items: Range<Int>, step: Int, batch: BatchBuffers) -> Bool { false }

    func chunkCount(_ items: Int, _ deal: Deal) -> Int {
        if dealsItemsSingly { return min(items, WorkerPool.maximumChunks) }
        return deal.chunkCount(of: items, least: leastItemsAChunk, leastLeft: leastItemsLeft)
    }

    func items(of total: Int, chunk: Int, count: Int, _ deal: Deal) -> Range<Int> {
        if dealsItemsSingly { return slice(of: total, chunk: chunk, count: count) }
        return deal.items(of: total, chunk: chunk, count: count)
    }
}

/// How items are cut into chunks. Each thread gets one chunk. For large phases the last quarter of its items is cut into
/// up to eight more, which other threads may steal.
struct Deal {
    let threadCount: Int

    /// The most chunks that a thread's last quarter is cut into.
    private static let mostChunksLeft = 8
    /// Quarters of all threads' items.
    private var quarterCount: Int { 4 * threadCount }

    /// Whether each thread has one chunk at most.
    func isOneAThread(_ total: Int, leastLeft: Int) -> Bool {
        chunkCount(of: total, least: 1, leastLeft: leastLeft) <= threadCount
    }

    /// - Parameters:
    ///   - least: the smallest chunk, in items.
    ///   - leastLeft: the smallest chunk worth stealing, in items.
    func chunkCount(of total: Int, least: Int, leastLeft: Int) -> Int {
        let left = total / quarterCount / leastLeft
        if threadCount > 1, left > 0 { return threadCount * (1 + min(left, Self.mostChunksLeft)) }
        return min((total + least - 1) / least, threadCount)
    }

    func items(of total: Int, chunk: Int, count: Int) -> Range<Int> {
        guard count > threadCount else { return WorkerPool.share(of: total, worker: chunk, threadCount: count) }
        let left = count / threadCount - 1
        let (thread, rest) = chunk.quotientAndRemainder(dividingBy: 1 + left)
        let (first, last) = (total * (4 * thread + 3) / quarterCount, total * (4 * thread + 4) / quarterCount)
        guard rest > 0 else { return total * 4 * thread / quarterCount..<first }
        return first + (last - first) * (rest - 1) / left..<first + (last - first) * rest / left
    }
}

/// A phase as a graph holds it: one, or several that share their items.
final class LoweredPhase {
    struct Part {
        let phase: Phase
        /// What it is called in the trace, if there is one.
        let traceName: TraceRecorder.Name?
    }

    /// Run on a chunk's items one after the other. They have the same items; the first one decides the chunks.
    let parts: [Part]
    /// Their phases, read without reference counting.
    private let phases: [Unmanaged<Phase>]
    /// The kernels that it computes, some of them in part.
    let kernels: ClosedRange<Int>

    /// - Parameter parts: at least one.
    init(_ parts: [Part], kernels: ClosedRange<Int>) {
        precondition(!parts.isEmpty)
        self.parts = parts
        phases = parts.map { .passUnretained($0.phase) }
        self.kernels = kernels
    }

    convenience init(_ phase: Phase, kernels: ClosedRange<Int>) {
        self.init([Part(phase: phase, traceName: nil)], kernels: kernels)
    }

    var name: String { parts.map(\.phase.name).joined(separator: " + ") }

    /// Whether there is anything to do for the batch.
    func hasItems(_ batch: BatchBuffers) -> Bool { phases[0]._withUnsafeGuaranteedRef { $0.itemCount(batch) > 0 } }

    func chunkCount(_ batch: BatchBuffers, _ deal: Deal) -> Int {
        phases[0]._withUnsafeGuaranteedRef { $0.chunkCount($0.itemCount(batch), deal) }
    }

    func items(chunk: Int, count: Int, _ batch: BatchBuffers, _ deal: Deal) -> Range<Int> {
        phases[0]._withUnsafeGuaranteedRef { $0.items(of: $0.itemCount(batch), chunk: chunk, count: count, deal) }
    }

    func run(part: Int, _ items: Range<Int>, worker: Int, batch: BatchBuffers) {
        phases[part]._withUnsafeGuaranteedRef { $0.run(items, worker: worker, batch: batch) }
    }

    /// As a phase does for its items.
    func prefetch(_ items: Range<Int>, step: Int, batch: BatchBuffers) -> Bool {
        phases[0]._withUnsafeGuaranteedRef { $0.prefetch(items, step: step, batch: batch) }
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
    func run(rows: Range<Int>, batch: BatchBuffers)
}

/// Row operations in order, a row an item.
final class RowsPhase: RowwisePhase {
    let operations: [any RowOperation]
    /// The operations that run for a batch of one row. Each thread that reads the row computes the others itself.
    private let operationsOfLoneRow: [any RowOperation]

    init(extent: RowExtent, operations: [any RowOperation], leftOfLoneRow: Int = 0) {
        self.operations = operations
        operationsOfLoneRow = operations.dropLast(leftOfLoneRow)
        super.init(extent: extent)
    }

    override var name: String { operations.map(\.name).joined(separator: " + ") }

    /// A row takes a microsecond or two, about as long as claiming a chunk.
    override var leastItemsAChunk: Int { 2 }

    private func operations(_ batch: BatchBuffers) -> [any RowOperation] {
        LoneRow.isThere(extent, batch) ? operationsOfLoneRow : operations
    }

    override func itemCount(_ batch: BatchBuffers) -> Int { operations(batch).isEmpty ? 0 : extent.count(batch) }

    override func run(_ items: Range<Int>, worker: Int, batch: BatchBuffers) { run(rows: items, batch: batch) }

    override func run(rows: Range<Int>, batch: BatchBuffers) {
        let operations = operations(batch)
        for group in rows.rowGroups { for operation in operations { operation.run(rows: group, batch: batch) } }
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
