// SPDX-License-Identifier: Apache-2.0

package import MartletCompute

/// Who holds which blocks of the KV cache.
///
/// Blocks are numbered from 1; block 0 of the cache is reserved, so that a table's entry that was never written, or a row of
/// padding, names no sequence's block. Blocks are counted by their holders. Free blocks stand in one doubly linked list, in
/// the order in which they are given out: at its front blocks without content that could be used again, in ascending runs;
/// behind them those whose content the prefix cache knows, least recently used first. Such a block can be taken back into
/// use with its content, until it is given out for another.
package struct BlockPool {
    /// The groups of layers that blocks are taken for.
    package let groups: [CacheGroup]
    /// Blocks that can be held: 1 to this.
    package let blockCount: Int
    package let blockSize: Int
    /// Free blocks, cached ones included.
    package private(set) var freeCount: Int
    /// Blocks from this one on have never been given out.
    package private(set) var highWaterMark = 1
    package private(set) var prefixCache: PrefixCache
    private var holders: [Int32]
    /// Neighbours in the free list; its two ends meet in entry 0.
    private var next: [Int32]
    private var previous: [Int32]

    package init(
        blockCount: Int, blockSize: Int, groups: [CacheGroup] = [CacheGroup()], cachesPrefixes: Bool = true,
        key: SipHash.Key = .random()
    ) {
        precondition(blockCount > 0 && blockCount < Int(Int32.max) && blockSize > 0 && !groups.isEmpty)
        self.groups = groups
        self.blockCount = blockCount
        self.blockSize = blockSize
        freeCount = blockCount
        prefixCache = PrefixCache(
            blockCount: blockCount + 1, blockSize: blockSize, groupCount: groups.count, isEnabled: cachesPrefixes,
            key: key)
        holders = Array(repeating: 0, count: blockCount + 1)
        let last = Int32(blockCount)
        next = (0...last).map { $0 == last ? 0 : $0 + 1 }
        previous = (0...last).map { $0 == 0 ? last : $0 - 1 }
    }

    package func holderCount(of block: Int32) -> Int { Int(holders[Int(block)]) }

    /// Takes a block whose content is forgotten, the one behind `neighbor` where that is empty; nil where none is free.
    ///
    /// - Complexity: O(1)
    package mutating func allocate(after neighbor: Int32? = nil) -> Int32? {
        guard freeCount > 0 else { return nil }
        var block = next[0]
        if let neighbor, Int(neighbor) < blockCount, holders[Int(neighbor) + 1] == 0,
            !prefixCache.holds(neighbor + 1)
        {
            block = neighbor + 1
        }
        prefixCache.remove(block)
        hold(block)
        highWaterMark = max(highWaterMark, Int(block) + 1)
        return block
    }

    /// Takes a sequence's blocks back, its last ones first: what later prompts share is longest kept, and empty blocks
    /// stand in ascending order again. The tables are empty afterwards.
    ///
    /// - Complexity: O(1) a block
    package mutating func release(_ tables: inout [BlockTable]) {
        let count = tables.reduce(0) { max($0, $1.blocks.count) }
        for index in (0..<count).reversed() {
            for table in tables.reversed() where index >= table.firstHeld && index < table.blocks.count {
                release(table.blocks[index])
            }
        }
        for group in tables.indices { tables[group].removeAll() }
    }

    /// Takes the blocks back that no token from a position on reads.
    package mutating func release(_ tables: inout [BlockTable], before position: Int) {
        for group in tables.indices {
            let first = min(firstBlock(of: group, readFrom: position), tables[group].blocks.count)
            while tables[group].firstHeld < first {
                let index = tables[group].firstHeld
                release(tables[group].blocks[index])
                tables[group].blocks[index] = 0
                tables[group].firstHeld += 1
            }
        }
    }

    /// The first of a group's blocks that a token at a position, or at a later one, reads.
    package func firstBlock(of group: Int, readFrom position: Int) -> Int {
        groups[group].firstPosition(readFrom: position) / blockSize
    }

    /// Blocks that a sequence takes at most; as `mostBlocks` of the groups.
    package func mostBlocks(upTo end: Int, stepLength: Int, first: (_ group: Int) -> Int = { _ in 0 }) -> Int {
        groups.mostBlocks(upTo: end, stepLength: stepLength, blockSize: blockSize, first: first)
    }

    private mutating func release(_ block: Int32) {
        precondition(holders[Int(block)] > 0, "a block was released twice")
        holders[Int(block)] -= 1
        guard holders[Int(block)] == 0 else { return }
        freeCount += 1
        if prefixCache.holds(block) {
            link(block, between: previous[0], and: 0)
        } else {
            link(block, between: 0, and: next[0])
        }
    }

    /// Takes a block into use with its content, for one more holder.
    mutating func hold(_ block: Int32) {
        holders[Int(block)] += 1
        guard holders[Int(block)] == 1 else { return }
        freeCount -= 1
        next[Int(previous[Int(block)])] = next[Int(block)]
        previous[Int(next[Int(block)])] = previous[Int(block)]
    }

    private mutating func link(_ block: Int32, between left: Int32, and right: Int32) {
        next[Int(left)] = block
        previous[Int(right)] = block
        next[Int(block)] = right
        previous[Int(block)] = left
    }

    /// Lets others find the full blocks of a sequence. Where a block with the same tokens is there already, the sequence
    /// goes on with that one and its own is given back: their content has the same bits.
    ///
    /// - Parameter computedCount: tokens whose K and V are in the blocks.
    /// - Returns: the first index of the tables whose block is another now; that of the next block where none is.
    @discardableResult package mutating func register(
        _ tokens: [Int32], computedCount: Int, chain: inout PrefixCache.Chain, tables: inout [BlockTable]
    ) -> Int {
        var firstChange = tables[0].blocks.count
        while prefixCache.isEnabled, !chain.isBroken, (chain.length + 1) * blockSize <= computedCount {
            let index = chain.length
            var block = tables[0].blocks[index]
            switch prefixCache.register(block, tokens, after: chain) {
            case .registered: break
            case .twin(let twin):
                if replace(index, of: &tables[0], by: twin) { firstChange = min(firstChange, index) }
                block = twin
            case .collision:
                chain.isBroken = true
                continue
            }
            prefixCache.extend(&chain, by: block)
            for group in tables.indices.dropFirst() where index >= tables[group].firstHeld {
                if let twin = prefixCache.companion(of: block, group: group) {
                    if replace(index, of: &tables[group], by: twin) { firstChange = min(firstChange, index) }
                } else if !prefixCache.holds(tables[group].blocks[index]) {
                    prefixCache.attach(tables[group].blocks[index], group: group, to: block)
                }
            }
        }
        return firstChange
    }

    /// False where the table has that block already.
    private mutating func replace(_ index: Int, of table: inout BlockTable, by twin: Int32) -> Bool {
        guard table.blocks[index] != twin else { return false }
        hold(twin)
        release(table.blocks[index])
        table.blocks[index] = twin
        return true
    }

    /// The free list from its front; for tests.
    package var freeBlocks: [Int32] {
        var blocks: [Int32] = []
        var block = next[0]
        while block != 0, blocks.count <= blockCount {
            blocks.append(block)
            block = next[Int(block)]
        }
        return blocks
    }
}
