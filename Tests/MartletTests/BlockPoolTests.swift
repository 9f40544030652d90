// SPDX-License-Identifier: Apache-2.0

import Martlet
import MartletCompute
import Testing

extension BlockPool {
    fileprivate mutating func release(_ blocks: [Int32]) {
        var tables = [BlockTable(blocks)]
        release(&tables)
    }

    /// Takes what is cached of a prompt, and then blocks for the rest of it.
    fileprivate mutating func tables(
        for tokens: [Int32], limit: Int, salt: String = "", chain: inout PrefixCache.Chain
    ) -> [BlockTable] {
        var tables = groups.map { _ in BlockTable() }
        take(cachedPrefix(of: tokens, salt: salt, limit: limit), chain: &chain, into: &tables)
        return tables
    }
}

@Suite struct BlockPoolTests {
    private func tokens(_ count: Int, from first: Int32 = 0) -> [Int32] { (0..<Int32(count)).map { first + $0 } }

    /// Takes as many blocks as the tokens need, one behind the other.
    private func take(_ count: Int, from pool: inout BlockPool) -> [Int32] {
        var table: [Int32] = []
        for _ in 0..<count { if let block = pool.allocate(after: table.last) { table.append(block) } }
        return table
    }

    /// A computed sequence of its own blocks, known to the cache.
    private func store(_ tokens: [Int32], salt: String = "", in pool: inout BlockPool) -> [Int32] {
        var chain = PrefixCache.Chain(salt: salt)
        var table = pool.tables(for: tokens, limit: tokens.count / pool.blockSize, salt: salt, chain: &chain)[0].blocks
        while table.count * pool.blockSize < tokens.count {
            guard let block = pool.allocate(after: table.last) else { break }
            table.append(block)
        }
        var tables = [BlockTable(table)]
        pool.register(tokens, computedCount: tokens.count, chain: &chain, tables: &tables)
        return tables[0].blocks
    }

    private func find(_ tokens: [Int32], salt: String = "", in pool: inout BlockPool) -> [Int32] {
        var chain = PrefixCache.Chain(salt: salt)
        return pool.tables(for: tokens, limit: 100, salt: salt, chain: &chain)[0].blocks
    }

    @Test func blocksComeInAscendingRuns() {
        var pool = BlockPool(blockCount: 12, blockSize: 4)
        let first = take(4, from: &pool)
        let second = take(4, from: &pool)
        #expect(first == [1, 2, 3, 4] && second == [5, 6, 7, 8])
        pool.release(first)
        // Empty again, so used again first.
        #expect(take(3, from: &pool) == [1, 2, 3])
        pool.release(second)
        #expect(pool.highWaterMark == 9)
        #expect(take(6, from: &pool).first == 5)
        #expect(pool.freeCount == 3 && pool.highWaterMark == 11)
    }

    @Test func anEmptyPoolSaysSo() {
        var pool = BlockPool(blockCount: 2, blockSize: 4)
        #expect(take(3, from: &pool).count == 2)
        #expect(pool.allocate() == nil && pool.freeCount == 0)
    }

    @Test func beginningsAreFoundAndShared() {
        var pool = BlockPool(blockCount: 8, blockSize: 4)
        let table = store(tokens(10), in: &pool)
        #expect(table.count == 3)
        // Two full blocks; what follows differs.
        let other = find(tokens(9) + [77, 78, 79], in: &pool)
        #expect(other == Array(table.prefix(2)))
        #expect(pool.holderCount(of: table[0]) == 2 && pool.holderCount(of: table[2]) == 1)
        #expect(find([5] + tokens(9), in: &pool).isEmpty)
        #expect(find(tokens(8), salt: "x", in: &pool).isEmpty)
        pool.release(table)
        #expect(pool.freeCount == 6)
        pool.release(other)
        #expect(pool.freeCount == 8)
        // They are free, and there still.
        #expect(pool.cachedPrefix(of: tokens(8), salt: "", limit: 9).blocks == 2)
        #expect(pool.cachedPrefix(of: tokens(8), salt: "", limit: 9).free == 2)
        #expect(pool.cachedPrefix(of: tokens(8), salt: "", limit: 1).blocks == 1)
    }

    @Test func theLeastRecentlyUsedIsForgottenFirstFromItsEnd() {
        var pool = BlockPool(blockCount: 6, blockSize: 4)
        let old = store(tokens(8), in: &pool)
        let young = store(tokens(8, from: 50), in: &pool)
        pool.release(old)
        pool.release(young)
        // Two empty ones, then the old one's last block.
        #expect(take(2, from: &pool).allSatisfy { $0 > 4 })
        #expect(pool.allocate() == old[1])
        #expect(find(tokens(8), in: &pool) == [old[0]])
        #expect(find(tokens(8, from: 50), in: &pool) == young)
    }

    /// Two that computed the same go on with one block.
    @Test func twinsAreMerged() {
        var pool = BlockPool(blockCount: 8, blockSize: 4)
        var chains = [PrefixCache.Chain(), PrefixCache.Chain()]
        var tables = [[BlockTable(take(2, from: &pool))], [BlockTable(take(2, from: &pool))]]
        let changes = (0..<2).map { index in
            pool.register(tokens(8), computedCount: 8, chain: &chains[index], tables: &tables[index])
        }
        // The second one's table is another from its first block on.
        #expect(changes == [2, 0])
        #expect(tables[0][0].blocks == tables[1][0].blocks && pool.freeCount == 6)
        #expect(pool.holderCount(of: tables[0][0].blocks[0]) == 2)
    }

    @Test func onlyFullBlocksAreRegistered() {
        var pool = BlockPool(blockCount: 8, blockSize: 4)
        var chain = PrefixCache.Chain()
        let table = take(2, from: &pool)
        var tables = [BlockTable(table)]
        pool.register(tokens(8), computedCount: 7, chain: &chain, tables: &tables)
        #expect(chain.length == 1 && pool.prefixCache.holds(table[0]) && !pool.prefixCache.holds(table[1]))
    }

    @Test func withoutACacheNothingIsFound() {
        var pool = BlockPool(blockCount: 8, blockSize: 4, cachesPrefixes: false)
        pool.release(store(tokens(8), in: &pool))
        #expect(find(tokens(8), in: &pool).isEmpty)
    }

    /// The first values of the reference implementation: key 00 01 … 0f, messages of 00 01 …
    @Test func theHashIsSipHash() {
        let key = SipHash.Key(low: 0x0706_0504_0302_0100, high: 0x0f0e_0d0c_0b0a_0908)
        var empty = SipHash(key)
        #expect(empty.finish() == 0x726f_db47_dd0e_0e31)
        var eight = SipHash(key)
        eight.combine(0x0706_0504_0302_0100)
        #expect(eight.finish() == 0x93f5_f579_9a93_2462)
        var fifteen = SipHash(key)
        fifteen.combine(0x0706_0504_0302_0100)
        #expect(fifteen.finish(tail: 0x000e_0d0c_0b0a_0908, tailBytes: 7) == 0xa129_ca61_49be_45e5)
    }
}
