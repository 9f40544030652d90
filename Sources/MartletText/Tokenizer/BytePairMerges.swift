// SPDX-License-Identifier: Apache-2.0

import HeapModule

/// The merge rules of a BPE vocabulary, applied lowest rank first, of equals leftmost first.
package struct BytePairMerges: Sendable {

    private struct Merge {
        let rank: UInt32
        let token: Int32
    }
    private let merges: [UInt64: Merge]

    /// - Parameters:
    ///   - rules: UTF-8 of `left right`, by rank, as the file writes tokens.
    ///   - spelling: how it writes them.
    package init(
        rules: [[UInt8]], vocabulary: Vocabulary, _ spelling: TokenSpelling = .byteLevel
    ) throws(TokenizerError) {
        func bytes(_ written: ArraySlice<UInt8>) -> [UInt8]? {
            switch spelling {
            case .byteLevel: String(validating: written, as: UTF8.self).flatMap { ByteAlphabet.bytes(of: $0) }
            case .sentencePiece: Vocabulary.withSpaces(Array(written))
            }
        }
        var merges: [UInt64: Merge] = [:]
        merges.reserveCapacity(rules.count)
        for (rank, rule) in rules.enumerated() {
            // The separator is the first space that doesn't begin the rule: a token may itself be a space.
            guard let space = rule.dropFirst().firstIndex(of: 0x20),
                let left = bytes(rule[..<space]), let right = bytes(rule[(space + 1)...])
            else { throw Self.unknown(rule, rank) }
            try Self.add(left, right, rank: rank, vocabulary, to: &merges)
        }
        self.merges = merges
    }

    /// - Parameter pairs: the bytes of two tokens each, by rank.
    package init(
        pairs: [(left: [UInt8], right: [UInt8])], vocabulary: Vocabulary
    ) throws(TokenizerError) {
        var merges: [UInt64: Merge] = [:]
        merges.reserveCapacity(pairs.count)
        for (rank, pair) in pairs.enumerated() {
            try Self.add(pair.left, pair.right, rank: rank, vocabulary, to: &merges)
        }
        self.merges = merges
    }

    private static func add(
        _ left: [UInt8], _ right: [UInt8], rank: Int, _ vocabulary: Vocabulary, to merges: inout [UInt64: Merge]
    ) throws(TokenizerError) {
        guard let leftID = vocabulary.id(of: left), let rightID = vocabulary.id(of: right),
            let merged = vocabulary.id(of: left + right)
        else { throw unknown(left + [0x20] + right, rank) }
        let key = key(leftID, rightID)
        guard merges[key] == nil else { return }  // a repeated rule: the lower rank stands
        merges[key] = Merge(rank: UInt32(truncatingIfNeeded: rank), token: merged)
    }

    private static func unknown(_ rule: [UInt8], _ rank: Int) -> TokenizerError {
        let text = PromptText(String(decoding: rule, as: UTF8.self)).abbreviated
        return TokenizerError(.invalidMerge, "merge \(rank) (\(text)) names tokens that don't exist")
    }

    private static func key(_ left: Int32, _ right: Int32) -> UInt64 {
        UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
    }

    /// Calls `body` with each token that is left of some symbols, and the index of its first symbol. Symbols without a
    /// token, which are -1, merge with nothing.
    ///
    /// - Complexity: O(n log n).
    package func merge(_ initial: [Int32], _ body: (_ token: Int32, _ symbol: Int) -> Void) {
        var symbols = initial
        let count = symbols.count
        if count == 1 { return body(symbols[0], 0) }
        guard count > 1 else { return }
        // A linked list of symbols, and a heap of the pairs that could merge. A pair is stale once either side has
        // merged with another: then the rule found at its place is a different one, or none.
        var next = Array(1...count)
        var previous = Array(-1..<(count - 1))
        var candidates = Heap<UInt64>()
        func merge(at index: Int) -> Merge? {
            guard symbols[index] >= 0, next[index] < count, symbols[next[index]] >= 0 else { return nil }
            return merges[Self.key(symbols[index], symbols[next[index]])]
        }
        func offer(_ index: Int) {
            if let merge = merge(at: index) { candidates.insert(UInt64(merge.rank) << 32 | UInt64(index)) }
        }
        var alive = [Bool](repeating: true, count: count)
        for index in 0..<(count - 1) { offer(index) }
        while let candidate = candidates.popMin() {
            let index = Int(candidate & 0xffff_ffff)
            guard alive[index], let merge = merge(at: index), UInt64(merge.rank) == candidate >> 32 else { continue }
            let removed = next[index]
            symbols[index] = merge.token
            alive[removed] = false
            next[index] = next[removed]
            if next[index] < count { previous[next[index]] = index }
            if previous[index] >= 0 { offer(previous[index]) }
            offer(index)
        }
        var index = 0
        while index < count {
            body(symbols[index], index)
            index = next[index]
        }
    }
}
