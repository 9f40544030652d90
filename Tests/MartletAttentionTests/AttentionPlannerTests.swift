// SPDX-License-Identifier: Apache-2.0

import MartletAttention
import MartletCompute
import MartletTestSupport
import Testing

@Suite struct AttentionPlannerTests {
    /// Random batches: every row is in exactly one tile of its own sequence, and longer tiles come first.
    @Test func coversEveryRowOnce() {
        var random = SeededGenerator(5)
        let batch = BatchBuffers(
            capacity: BatchCapacity(tokens: 256, sequences: 16, blocksPerSequence: 1, logitRows: 1))
        for _ in 0..<2_000 {
            let planner = AttentionPlanner(rowsPerTile: Int.random(in: 1...48, using: &random))
            var row = 0
            batch.sequenceCount = Int.random(in: 0...16, using: &random)
            for sequence in 0..<batch.sequenceCount {
                batch.queryStartLocations[sequence] = Int32(row)
                let length = Bool.random(using: &random) ? 1 : Int.random(in: 0...16, using: &random)
                let context = Int.random(in: 0...5_000, using: &random)
                for offset in 0..<length {
                    batch.positions[row] = Int32(context + offset)
                    row += 1
                }
            }
            batch.queryStartLocations[batch.sequenceCount] = Int32(row)
            batch.tokenCount = row
            planner.plan(batch)

            var owners = [Int?](repeating: nil, count: row)
            var previous = Int.max
            for tile in batch.plan.prefillTiles.prefix(batch.plan.prefillTileCount) {
                #expect(tile.rowCount > 0 && Int(tile.rowCount) <= planner.rowsPerTile)
                for row in Int(tile.firstRow)..<Int(tile.firstRow + tile.rowCount) {
                    #expect(owners[row] == nil)
                    owners[row] = Int(tile.sequence)
                }
                let last = Int(tile.firstRow + tile.rowCount - 1)
                let work = Int(tile.rowCount) * (Int(batch.positions[last]) + 1)
                #expect(work <= previous)
                previous = work
            }
            for sequence in 0..<batch.sequenceCount {
                for row in Int(batch.queryStartLocations[sequence])..<Int(batch.queryStartLocations[sequence + 1]) {
                    #expect(owners[row] == sequence)
                }
            }
        }
    }
}
