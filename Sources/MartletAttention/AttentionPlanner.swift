// SPDX-License-Identifier: Apache-2.0

public import MartletCompute

/// Cuts a step's attention into work items, from its lengths alone.
///
/// A tile's keys run from its sequence's beginning to its last row: causal attention needs no others.
public struct AttentionPlanner: Sendable {
    /// Query tokens in a prefill tile.
    public let rowsPerTile: Int

    public init(rowsPerTile: Int) {
        precondition(rowsPerTile > 0)
        self.rowsPerTile = rowsPerTile
    }

    /// Plans the batch as it stands, into its own plan buffers.
    ///
    /// - Complexity: O(n log n) in the tiles.
    public func plan(_ batch: BatchBuffers) {
        var count = 0
        for sequence in 0..<batch.sequenceCount {
            let end = Int(batch.queryStartLocations[sequence + 1])
            for row in stride(from: Int(batch.queryStartLocations[sequence]), to: end, by: rowsPerTile) {
                batch.plan.prefillTiles[count] = PrefillTile(
                    sequence: Int32(sequence), firstRow: Int32(row), rowCount: Int32(min(rowsPerTile, end - row)))
                count += 1
            }
        }
        batch.plan.prefillTileCount = count
        // Longest first: what is claimed last is short, so no thread is left alone with a long tile.
        var tiles = UnsafeMutableBufferPointer(rebasing: batch.plan.prefillTiles[..<count])
        tiles.sort { first, second in
            let (a, b) = (work(first, batch), work(second, batch))
            return a == b ? first.firstRow < second.firstRow : a > b
        }
    }

    private func work(_ tile: PrefillTile, _ batch: BatchBuffers) -> Int {
        let lastRow = Int(tile.firstRow + tile.rowCount - 1)
        return Int(tile.rowCount) * (Int(batch.positions[lastRow]) + 1)
    }
}
