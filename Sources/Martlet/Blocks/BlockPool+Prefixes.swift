// SPDX-License-Identifier: Apache-2.0

/// The blocks of a prompt's beginning that a new sequence need not compute.
package struct SharedPrefix {
    /// Whose blocks are shared.
    package enum Source {
        /// The prefix cache's: of the first group the blocks by index, the others through them.
        case cache([Int32])
        /// Those of a sequence with the same beginning.
        case tables([BlockTable])
    }

    package let source: Source
    /// Blocks of tokens that need not be computed.
    package let blocks: Int
    /// Blocks of all groups that are shared, and those of them that are free.
    package internal(set) var held = 0
    package internal(set) var free = 0
}

extension BlockPool {
    /// The longest beginning of a prompt whose blocks are cached: of each group those that tokens behind it read.
    ///
    /// - Parameter limit: blocks to look for at most.
    /// - Complexity: O(limit) for each group, where groups lack the same blocks.
    package func cachedPrefix(of tokens: [Int32], salt: String, limit: Int) -> SharedPrefix {
        var found: [Int32] = []
        var chain = PrefixCache.Chain(salt: salt)
        while found.count < limit, let block = prefixCache.find(tokens, after: chain) {
            prefixCache.extend(&chain, by: block)
            found.append(block)
        }
        var count = found.count
        // Every longer beginning reads a block that a group lacks, too: the beginning ends before it.
        while let missing = missingIndex(found, count: count) { count = missing }
        return counted(SharedPrefix(source: .cache(found), blocks: count))
    }

    /// The first `count` blocks of a sequence with the same beginning, where it still has all that tokens behind them read.
    package func prefix(of tables: [BlockTable], count: Int) -> SharedPrefix? {
        for group in tables.indices {
            let first = firstBlock(of: group, readFrom: count * blockSize)
            guard first >= tables[group].firstHeld, count <= tables[group].blocks.count else { return nil }
        }
        return counted(SharedPrefix(source: .tables(tables), blocks: count))
    }

    /// The last index, of those that tokens behind `count` blocks read, whose block a group lacks.
    private func missingIndex(_ found: [Int32], count: Int) -> Int? {
        var missing: Int?
        for group in groups.indices.dropFirst() {
            let first = firstBlock(of: group, readFrom: count * blockSize)
            let index = (first..<count).last {
                prefixCache.companion(of: found[$0], group: group) == nil
            }
            if let index { missing = max(missing ?? index, index) }
        }
        return missing
    }

    private func counted(_ prefix: SharedPrefix) -> SharedPrefix {
        var prefix = prefix
        forEachBlock(of: prefix) { block, _ in
            prefix.held += 1
            if holderCount(of: block) == 0 { prefix.free += 1 }
        }
        return prefix
    }

    /// - Parameter body: is given a block and its group; a group's blocks in ascending order.
    private func forEachBlock(of prefix: SharedPrefix, _ body: (Int32, _ group: Int) -> Void) {
        for group in groups.indices {
            for index in firstBlock(of: group, readFrom: prefix.blocks * blockSize)..<prefix.blocks {
                switch prefix.source {
                case .cache(let found):
                    let block = group == 0 ? found[index] : prefixCache.companion(of: found[index], group: group)
                    if let block { body(block, group) }
                case .tables(let tables): body(tables[group].blocks[index], group)
                }
            }
        }
    }

    /// Takes a prefix's blocks into use.
    ///
    /// - Parameters:
    ///   - chain: at its beginning; is extended by what comes from the cache. It breaks where the
    ///     first group no longer holds its first blocks: later ones could not be found.
    ///   - tables: empty; begin with the prefix's blocks afterwards.
    package mutating func take(_ prefix: SharedPrefix, chain: inout PrefixCache.Chain, into tables: inout [BlockTable])
    {
        switch prefix.source {
        case .cache(let found): for block in found[..<prefix.blocks] { prefixCache.extend(&chain, by: block) }
        case .tables: chain.isBroken = firstBlock(of: 0, readFrom: prefix.blocks * blockSize) > 0
        }
        for group in groups.indices {
            tables[group].firstHeld = firstBlock(of: group, readFrom: prefix.blocks * blockSize)
            tables[group].blocks.append(contentsOf: repeatElement(0, count: tables[group].firstHeld))
        }
        forEachBlock(of: prefix) { tables[$1].blocks.append($0) }
        for table in tables { for block in table.held { hold(block) } }
    }
}
