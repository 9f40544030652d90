// SPDX-License-Identifier: Apache-2.0

import Martlet
import MartletCompute
import Testing

/// Groups of layers of which some keep a window alone.
@Suite struct WindowedBlockTests {
    /// Blocks of 4 tokens; one group keeps all, the other 8 tokens, rounded to whole tiles of 4.
    private static let groups = [CacheGroup(), CacheGroup(window: 8, tile: 4)]
    private let tokens = (0..<40).map { Int32($0) }

    private struct Stored {
        var tables: [BlockTable]
        var chain = PrefixCache.Chain()
    }

    /// Computes the tokens in steps of 4.
    private func store(_ count: Int, in pool: inout BlockPool) -> Stored {
        var stored = Stored(tables: pool.groups.map { _ in BlockTable() })
        let prefix = pool.cachedPrefix(of: Array(tokens[..<count]), salt: "", limit: (count - 1) / 4)
        pool.take(prefix, chain: &stored.chain, into: &stored.tables)
        for end in stride(from: prefix.blocks * 4 + 4, through: count, by: 4) {
            for group in pool.groups.indices { pool.extend(&stored.tables[group]) }
            pool.register(Array(tokens[..<count]), computedCount: end, chain: &stored.chain, tables: &stored.tables)
            pool.release(&stored.tables, before: end)
        }
        return stored
    }

    @Test func whatAWindowHasPassedIsFree() {
        var pool = BlockPool(blockCount: 20, blockSize: 4, groups: Self.groups)
        let stored = store(40, in: &pool)
        #expect(stored.tables[0].held.count == 10 && stored.tables[1].held.count == 2)
        #expect(stored.tables[1].blocks.prefix(8).allSatisfy { $0 == 0 } && stored.tables[1].firstHeld == 8)
        #expect(pool.freeCount == 20 - 12)
        #expect(pool.mostBlocks(upTo: 40, stepLength: 4) >= 12 && pool.mostBlocks(upTo: 40, stepLength: 4) < 20)
    }

    @Test func aBeginningIsFoundWithItsWindow() {
        var pool = BlockPool(blockCount: 40, blockSize: 4, groups: Self.groups)
        var stored = store(40, in: &pool)
        let window = stored.tables[1].held
        pool.release(&stored.tables)
        let prefix = pool.cachedPrefix(of: tokens, salt: "", limit: 9)
        // All of the first group's nine blocks, and of the other those behind position 29.
        #expect(prefix.blocks == 9 && prefix.held == 11 && prefix.free == 11)
        var tables = pool.groups.map { _ in BlockTable() }
        var chain = PrefixCache.Chain()
        pool.take(prefix, chain: &chain, into: &tables)
        #expect(chain.length == 9 && tables[0].firstHeld == 0 && tables[1].firstHeld == 7)
        #expect(tables[1].blocks.last == window.first)
    }

    /// Once a block of the window is another's, the beginning ends before the tokens that would read it.
    @Test func aBeginningEndsWhereItsWindowIsGone() {
        var pool = BlockPool(blockCount: 22, blockSize: 4, groups: Self.groups)
        var stored = store(40, in: &pool)
        pool.release(&stored.tables)
        // The oldest are what the window passed first: blocks 0 to 7 of the second group.
        for _ in 0..<2 { _ = pool.allocate() }
        for _ in 0..<8 { _ = pool.allocate() }
        #expect(pool.cachedPrefix(of: tokens, salt: "", limit: 9).blocks == 0)
        #expect(pool.cachedPrefix(of: tokens, salt: "", limit: 10).blocks == 10)
    }

    @Test func aSiblingSharesWhatIsStillThere() {
        var pool = BlockPool(blockCount: 40, blockSize: 4, groups: Self.groups)
        let stored = store(40, in: &pool)
        #expect(pool.prefix(of: stored.tables, count: 10)?.held == 12)
        // Tokens behind the ninth block read the second group's eighth, which was given back.
        #expect(pool.prefix(of: stored.tables, count: 9) == nil)
    }

    /// Layers that all have a window: their first blocks are given out before their last ones.
    @Test func aBeginningWithoutItsFirstBlocksIsForgotten() {
        var pool = BlockPool(blockCount: 12, blockSize: 4, groups: [CacheGroup(window: 8, tile: 4)])
        var stored = store(40, in: &pool)
        #expect(stored.tables[0].held.count == 2)
        pool.release(&stored.tables)
        #expect(pool.cachedPrefix(of: tokens, salt: "", limit: 10).blocks == 10)
        for _ in 0..<3 { _ = pool.allocate() }
        #expect(pool.cachedPrefix(of: tokens, salt: "", limit: 10).blocks == 0)
        // Computed anew, it is found anew.
        let again = store(24, in: &pool)
        #expect(again.tables[0].blocks.count == 6)
        #expect(pool.cachedPrefix(of: tokens, salt: "", limit: 6).blocks == 6)
    }

    @Test(arguments: [(16, 1000), (16, 64), (32, 2048)])
    func theLongestSequenceTakesNoMoreThanThereIs(_ blockSize: Int, _ stepLength: Int) {
        let groups = [CacheGroup(), CacheGroup(window: 512), CacheGroup(window: 100)]
        for blocks in [3, 50, 300, 1000] {
            let length = groups.longestSequence(
                in: blocks, limit: 100_000, stepLength: stepLength, blockSize: blockSize)
            func most(_ length: Int) -> Int {
                groups.mostBlocks(upTo: length, stepLength: stepLength, blockSize: blockSize)
            }
            #expect(most(length) <= blocks && most(length + 1) > blocks)
        }
    }
}

extension BlockPool {
    fileprivate mutating func extend(_ table: inout BlockTable) {
        if let block = allocate(after: table.blocks.last) { table.append(block) }
    }
}
