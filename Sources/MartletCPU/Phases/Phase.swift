// SPDX-License-Identifier: Apache-2.0

package import MartletCompute

/// The work between two barriers of a graph: independent items, which threads claim in chunks.
///
/// A phase points into weights, workspace and cache; its graph's piece keeps them alive. It is a class and not a protocol
/// so that threads don't count references to it: they claim chunks several thousand times a step, and each count would
/// move a cache line from one core to another.
package class Phase {
    /// For traces and people.
    var name: String { preconditionFailure("a phase has a name") }
    /// Whether items differ so much in length that each is claimed alone, as long as the pool can count them.
    var hasUnevenItems: Bool { false }
    /// The smallest chunk, in items.
    var minimumChunk: Int { 1 }
    /// The smallest chunk worth stealing, in items.
    var minimumStealChunk: Int { minimumChunk }

    /// How many items the batch gives it.
    func itemCount(_ batch: BatchBuffers) -> Int { preconditionFailure("a phase has items") }

    func run(_ items: Range<Int>, worker: Int, batch: BatchBuffers) { preconditionFailure("a phase runs") }

    /// Prefetches the `step`th piece of what these items will read; false where there is no such piece.
    func prefetch(_ items: Range<Int>, step: Int, batch: BatchBuffers) -> Bool { false }

    /// How its items are cut into chunks.
    final var chunkBounds: ChunkBounds {
        ChunkBounds(hasUnevenItems: hasUnevenItems, minimum: minimumChunk, minimumSteal: minimumStealChunk)
    }

    func chunkCount(_ items: Int, _ policy: ChunkPolicy) -> Int { chunkBounds.chunkCount(items, policy) }

    func items(of total: Int, chunk: Int, count: Int, _ policy: ChunkPolicy) -> Range<Int> {
        chunkBounds.items(of: total, chunk: chunk, count: count, policy)
    }
}

/// A phase of which each row's results depend on nothing but that row's, so that threads can also divide its rows.
package class RowwisePhase: Phase {
    final let extent: RowExtent

    package init(extent: RowExtent) { self.extent = extent }

    /// Runs rows that begin with a group of `MARTLET_ROW_GROUP`.
    func run(rows: Range<Int>, batch: BatchBuffers) { preconditionFailure("a row-wise phase runs rows") }
}
