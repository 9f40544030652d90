// SPDX-License-Identifier: Apache-2.0

/// Finds the block that holds given tokens after a given beginning.
///
/// A block of the first group of layers is found by a hash, keyed with a secret, of the hash before it and its own tokens.
/// A hash alone proves nothing: the tokens are compared, and the block before it must be the one that was found before.
/// Since the first block's salt is compared too, a hit is the same beginning, token by token. The other groups' blocks for
/// the same tokens are its companions, found through it and forgotten with it.
package struct PrefixCache {
    /// How far a sequence is known to the cache: its first `length` blocks are known.
    package struct Chain {
        package let salt: String
        package fileprivate(set) var length = 0
        fileprivate var hash: UInt64 = 0
        fileprivate var lastBlock: Int32 = 0
        /// The registration of that one; 0 at the beginning.
        fileprivate var lastRegistration: UInt64 = 0
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
        /// Which registration this is, of all that ever were; 0: the block isn't registered.
        var registration: UInt64 = 0
        /// The block before it, and its registration; 0 for a first block.
        var parent: Int32 = 0
        var parentRegistration: UInt64 = 0
        /// A first block's; empty for the others, whose parents tell them apart.
        var salt = ""
    }

    package let isEnabled: Bool
    private let blockSize: Int
    private let key: SipHash.Key
    private var entries: [Entry]
    /// `[blocks, blockSize]`
    private var tokens: [Int32]
    private var blocks: [UInt64: Int32] = [:]
    private var registrations: UInt64 = 0
    /// By group behind the first, and block of the first: its companion, or 0.
    private var companions: [[Int32]]
    /// By block: the one that it is a companion of, or 0.
    private var owners: [Int32]

    init(blockCount: Int, blockSize: Int, groupCount: Int = 1, isEnabled: Bool, key: SipHash.Key) {
        self.isEnabled = isEnabled
        self.key = key
        self.blockSize = blockSize
        entries = isEnabled ? Array(repeating: Entry(), count: blockCount) : []
        tokens = isEnabled ? Array(repeating: 0, count: blockCount * blockSize) : []
        let none = [Int32](repeating: 0, count: isEnabled && groupCount > 1 ? blockCount : 0)
        companions = Array(repeating: none, count: groupCount - 1)
        owners = none
        // Registering is part of a step, and a step allocates nothing.
        if isEnabled { blocks.reserveCapacity(blockCount) }
    }

    /// Whether a block's content could be used again.
    package func holds(_ block: Int32) -> Bool { isEnabled && (isRegistered(block) || owner(of: block) != nil) }

    private func isRegistered(_ block: Int32) -> Bool { entries[Int(block)].registration != 0 }

    /// Whether a block is registered, and the one before it still is, if it has one. Those before that are not looked at.
    package func isReachable(_ block: Int32) -> Bool {
        let entry = entries[Int(block)]
        return entry.registration != 0
            && (entry.parentRegistration == 0
                || entries[Int(entry.parent)].registration == entry.parentRegistration)
    }

    // MARK: Companions

    /// The block of another group for the same tokens; nil where there is none.
    package func companion(of block: Int32, group: Int) -> Int32? {
        let companion = companions[group - 1][Int(block)]
        return companion == 0 ? nil : companion
    }

    /// The block that this one is a companion of.
    package func owner(of block: Int32) -> Int32? {
        guard !owners.isEmpty, owners[Int(block)] != 0 else { return nil }
        return owners[Int(block)]
    }

    /// - Precondition: the first is registered and has no companion in the group.
    mutating func attach(_ companion: Int32, group: Int, to block: Int32) {
        companions[group - 1][Int(block)] = companion
        owners[Int(companion)] = block
    }

    // MARK: Blocks of the first group

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
        chain.lastRegistration = entries[Int(block)].registration
    }

    mutating func register(_ block: Int32, _ tokens: [Int32], after chain: Chain) -> Registration {
        let hash = hash(tokens, after: chain)
        if let found = blocks[hash] {
            if matches(found, tokens, after: chain) { return .twin(found) }
            guard !isReachable(found) else { return .collision }
            remove(found)
        }
        registrations += 1
        blocks[hash] = block
        entries[Int(block)] = Entry(
            hash: hash, registration: registrations, parent: chain.lastBlock,
            parentRegistration: chain.lastRegistration, salt: chain.length == 0 ? chain.salt : "")
        for offset in 0..<blockSize {
            self.tokens[Int(block) * blockSize + offset] = tokens[chain.length * blockSize + offset]
        }
        return .registered
    }

    /// Forgets a block's content, and with it its companions'.
    mutating func remove(_ block: Int32) {
        guard holds(block) else { return }
        for group in companions.indices {
            let companion = companions[group][Int(block)]
            if companion != 0 { owners[Int(companion)] = 0 }
            companions[group][Int(block)] = 0
            if let owner = owner(of: block), companions[group][Int(owner)] == block {
                companions[group][Int(owner)] = 0
            }
        }
        if !owners.isEmpty { owners[Int(block)] = 0 }
        guard isRegistered(block) else { return }
        blocks[entries[Int(block)].hash] = nil
        entries[Int(block)] = Entry()
    }

    private func matches(_ block: Int32, _ tokens: [Int32], after chain: Chain) -> Bool {
        let entry = entries[Int(block)]
        guard entry.parentRegistration == chain.lastRegistration, chain.length > 0 || entry.salt == chain.salt else {
            return false
        }
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
