// SPDX-License-Identifier: Apache-2.0

/// Who holds which blocks of the KV cache.
///
/// Blocks are numbered from 1; block 0 of the cache is reserved, so that a table's entry that was never written, or a row of
/// padding, names no sequence's block. Blocks are counted by their holders. Free blocks stand in one doubly linked list, in
/// the order in which they are given out: at its front blocks without content that could be used again, in ascending runs;
/// behind them those whose content the prefix cache knows, least recently used first. Such a block can be taken back into
/// use with its content, until it is given out for another.
package struct BlockPool {
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

    package init(blockCount: Int, blockSize: Int, cachesPrefixes: Bool = true, key: SipHash.Key = .random()) {
        precondition(blockCount > 0 && blockCount < Int(Int32.max) && blockSize > 0)
        self.blockCount = blockCount
        self.blockSize = blockSize
        freeCount = blockCount
        prefixCache = PrefixCache(
            blockCount: blockCount + 1, blockSize: blockSize, isEnabled: cachesPrefixes, key: key)
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

    /// Adds a holder to a block in use.
    package mutating func retain(_ block: Int32) {
        precondition(holders[Int(block)] > 0, "a free block has no content to share")
        holders[Int(block)] += 1
    }

    /// Takes a holder's share of its blocks back. A sequence's last block goes first: what later prompts share is
    /// longest kept, and empty blocks stand in ascending order again.
    ///
    /// - Complexity: O(1) a block
    package mutating func release(_ blocks: [Int32]) {
        for block in blocks.reversed() { release(block) }
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

    private mutating func hold(_ block: Int32) {
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

    /// How many blocks at the start of a prompt are cached, and how many of those are free.
    ///
    /// - Parameter limit: blocks to look for at most.
    package func cachedPrefix(of tokens: [Int32], salt: String, limit: Int) -> (blocks: Int, free: Int) {
        var found = (blocks: 0, free: 0)
        var chain = PrefixCache.Chain(salt: salt)
        while found.blocks < limit, let block = prefixCache.find(tokens, after: chain) {
            prefixCache.extend(&chain, by: block)
            found.blocks += 1
            if holders[Int(block)] == 0 { found.free += 1 }
        }
        return found
    }

    /// Takes the cached blocks at the start of a prompt into use and appends them to the table.
    ///
    /// - Complexity: O(1) a block
    package mutating func takePrefix(
        of tokens: [Int32], limit: Int, chain: inout PrefixCache.Chain, into table: inout [Int32]
    ) {
        while table.count < limit, let block = prefixCache.find(tokens, after: chain) {
            prefixCache.extend(&chain, by: block)
            hold(block)
            table.append(block)
        }
    }

    /// Lets others find the full blocks of a sequence. Where a block with the same tokens is there already, the sequence
    /// goes on with that one and its own is given back: their content has the same bits.
    ///
    /// - Parameter computedCount: tokens whose K and V are in the blocks.
    /// - Returns: the first index of the table whose block is another now; the table's length where none is.
    @discardableResult package mutating func register(
        _ tokens: [Int32], computedCount: Int, chain: inout PrefixCache.Chain, table: inout [Int32]
    ) -> Int {
        var firstChange = table.count
        while prefixCache.isEnabled, !chain.isBroken, (chain.length + 1) * blockSize <= computedCount {
            let index = chain.length
            switch prefixCache.register(table[index], tokens, after: chain) {
            case .registered: prefixCache.extend(&chain, by: table[index])
            case .twin(let twin):
                prefixCache.extend(&chain, by: twin)
                guard twin != table[index] else { continue }
                hold(twin)
                release(table[index])
                table[index] = twin
                firstChange = min(firstChange, index)
            case .collision: chain.isBroken = true
            }
        }
        return firstChange
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
