// SPDX-License-Identifier: Apache-2.0

/// Finds the block that holds given tokens after a given beginning.
///
/// A block is found by a hash, keyed with a secret, of the hash before it and its own tokens. A hash alone proves
/// nothing: the tokens are compared, and the block before it must be the one that was found before. Since the first
/// block's salt is compared too, a hit is the same beginning, token by token.
package struct PrefixCache {
    /// How far a sequence is known to the cache: its first `length` blocks are known.
    package struct Chain {
        package let salt: String
        package fileprivate(set) var length = 0
        fileprivate var hash: UInt64 = 0
        fileprivate var lastBlock = PrefixCache.none
        /// A hash met another content: what follows can't be found, so it isn't registered.
        package var isBroken = false

        package init(salt: String = "") { self.salt = salt }
    }

    package enum Registration {
        case registered
        /// This block holds the same already.
        case twin(Int32)
        /// The hash stands for something else.
        case collision
    }

    private struct Entry {
        var hash: UInt64 = 0
        /// The block before it, or none.
        var parent = PrefixCache.none
        var isRegistered = false
        /// A first block's; empty for the others, whose parents tell them apart.
        var salt = ""
    }

    fileprivate static let none: Int32 = -1

    package let isEnabled: Bool
    private let blockSize: Int
    private let key: SipHash.Key
    private var entries: [Entry]
    /// `[blocks, blockSize]`
    private var tokens: [Int32]
    private var blocks: [UInt64: Int32] = [:]

    init(blockCount: Int, blockSize: Int, isEnabled: Bool, key: SipHash.Key) {
        self.isEnabled = isEnabled
        self.key = key
        self.blockSize = blockSize
        entries = isEnabled ? Array(repeating: Entry(), count: blockCount) : []
        tokens = isEnabled ? Array(repeating: 0, count: blockCount * blockSize) : []
        // Registering is part of a step, and a step allocates nothing.
        if isEnabled { blocks.reserveCapacity(blockCount) }
    }

    package func holds(_ block: Int32) -> Bool { isEnabled && entries[Int(block)].isRegistered }

    /// The block before a registered one; nil for first ones.
    package func parent(of block: Int32) -> Int32? {
        entries[Int(block)].parent == Self.none ? nil : entries[Int(block)].parent
    }

    /// The block that holds the chain's next tokens, if all of them are there.
    func find(_ tokens: [Int32], after chain: Chain) -> Int32? {
        guard isEnabled, (chain.length + 1) * blockSize <= tokens.count, let block = blocks[hash(tokens, after: chain)],
            matches(block, tokens, after: chain)
        else { return nil }
        return block
    }

    func extend(_ chain: inout Chain, by block: Int32) {
        chain.length += 1
        chain.hash = entries[Int(block)].hash
        chain.lastBlock = block
    }

    mutating func register(_ block: Int32, _ tokens: [Int32], after chain: Chain) -> Registration {
        let hash = hash(tokens, after: chain)
        if let found = blocks[hash] { return matches(found, tokens, after: chain) ? .twin(found) : .collision }
        blocks[hash] = block
        entries[Int(block)] = Entry(
            hash: hash, parent: chain.lastBlock, isRegistered: true, salt: chain.length == 0 ? chain.salt : "")
        for offset in 0..<blockSize {
            self.tokens[Int(block) * blockSize + offset] = tokens[chain.length * blockSize + offset]
        }
        return .registered
    }

    mutating func remove(_ block: Int32) {
        guard holds(block) else { return }
        blocks[entries[Int(block)].hash] = nil
        entries[Int(block)] = Entry()
    }

    private func matches(_ block: Int32, _ tokens: [Int32], after chain: Chain) -> Bool {
        let entry = entries[Int(block)]
        guard entry.parent == chain.lastBlock, chain.length > 0 || entry.salt == chain.salt else { return false }
        let (first, start) = (Int(block) * blockSize, chain.length * blockSize)
        for offset in 0..<blockSize where self.tokens[first + offset] != tokens[start + offset] { return false }
        return true
    }

    private func hash(_ tokens: [Int32], after chain: Chain) -> UInt64 {
        var hash = SipHash(key)
        if chain.length == 0 {
            for byte in chain.salt.utf8 { hash.combine(UInt64(byte)) }
        } else {
            hash.combine(chain.hash)
        }
        let start = chain.length * blockSize
        for token in tokens[start..<start + blockSize] { hash.combine(UInt64(UInt32(bitPattern: token))) }
        return hash.finish()
    }
}
