// SPDX-License-Identifier: Apache-2.0

import HeapModule

/// SentencePiece's BPE (Kudo and Richardson 2018): neighbours join, best score first, of equals leftmost first, as long as
/// what they spell together is a token.
package struct ScoredPairs: Sendable {
    /// `[token]`: 0 is the best score; equal scores have equal ranks.
    private let ranks: [UInt32]
    /// Whether a space is put in front of a text that begins, or follows a special token.
    private let addsSpace: Bool

    /// - Parameter scores: one a token, the larger the earlier it is joined to.
    package init(scores: [Float], addsSpace: Bool) throws(TokenizerError) {
        guard scores.allSatisfy({ !$0.isNaN }) else {
            throw TokenizerError(.invalidVocabulary, "a token's score is not a number")
        }
        var ranks = [UInt32](repeating: 0, count: scores.count)
        var (rank, last) = (UInt32(0), Float.infinity)
        for token in scores.indices.sorted(by: { scores[$0] > scores[$1] }) {
            if scores[token] < last { rank += 1 }
            last = scores[token]
            ranks[token] = rank
        }
        self.ranks = ranks
        self.addsSpace = addsSpace
    }

    /// Two neighbours that spell a token.
    private struct Candidate: Comparable {
        /// The token's rank, then the left one's index.
        let order: UInt64
        /// Bytes of both together: another number means that one of them has joined since.
        let length: Int

        static func < (first: Candidate, second: Candidate) -> Bool { first.order < second.order }
    }

    func encode(
        _ text: ArraySlice<UInt8>, isFirst: Bool, _ vocabulary: Vocabulary, into tokens: inout [Int32],
        unless isOver: (Int) -> Bool
    ) -> Bool {
        // The vocabulary's `▁` are spaces here, so those of the text are, too.
        let bytes = (addsSpace && isFirst ? [0x20] : []) + Vocabulary.withSpaces(Array(text))
        guard bytes.count < Int(Int32.max) else { return false }
        let starts = bytes.indices.filter { bytes[$0] & 0xc0 != 0x80 }
        let count = starts.count
        guard count > 0 else { return true }
        var ends = Array(starts.dropFirst()) + [bytes.count]
        var next = Array(1...count)
        var previous = Array(-1..<(count - 1))
        var alive = [Bool](repeating: true, count: count)
        var candidates = Heap<Candidate>()
        var looked = 0
        func offer(_ index: Int) {
            guard index >= 0, next[index] < count else { return }
            let range = starts[index]..<ends[next[index]]
            looked += range.count
            guard range.count <= vocabulary.longestToken, let token = vocabulary.id(of: bytes[range]) else { return }
            let order = UInt64(ranks[Int(token)]) << 32 | UInt64(index)
            candidates.insert(Candidate(order: order, length: range.count))
        }
        for index in 0..<(count - 1) {
            offer(index)
            if looked >= 4096 {
                if isOver(looked) { return false }
                looked = 0
            }
        }
        while let candidate = candidates.popMin() {
            let index = Int(candidate.order & 0xffff_ffff)
            guard alive[index], next[index] < count, ends[next[index]] - starts[index] == candidate.length else {
                continue
            }
            let removed = next[index]
            alive[removed] = false
            ends[index] = ends[removed]
            next[index] = next[removed]
            if next[index] < count { previous[next[index]] = index }
            offer(previous[index])
            offer(index)
            if looked >= 4096 {
                if isOver(looked) { return false }
                looked = 0
            }
        }
        var index = 0
        while index < count {
            let symbol = bytes[starts[index]..<ends[index]]
            if let token = vocabulary.id(of: symbol) {
                tokens.append(token)
            } else {
                vocabulary.appendBytes(symbol, to: &tokens)
            }
            index = next[index]
        }
        return true
    }
}
