// SPDX-License-Identifier: Apache-2.0

/// SentencePiece's Unigram (Kudo 2018): of all ways to cut a text into tokens the one with the largest sum of scores, found
/// by dynamic programming over the text's bytes.
package struct Unigram: Sendable {
    /// `[token]`: logarithms of probabilities.
    private let scores: [Float]
    /// The score of a character that no token spells.
    private let unknownScore: Float
    private let characters: CharacterMap?
    /// Whether a space is put in front of a text.
    private let addsSpace: Bool
    /// Whether spaces at both ends are left out, and of several in a row all but one.
    private let removesSpaces: Bool

    /// How much less likely an unknown character is than the least likely token.
    private static let unknownPenalty: Float = 10

    /// - Parameters:
    ///   - scores: one a token.
    ///   - characters: what characters are replaced by; nil: nothing.
    package init(
        scores: [Float], vocabulary: Vocabulary, characters: CharacterMap?, addsSpace: Bool, removesSpaces: Bool
    ) throws(TokenizerError) {
        guard scores.count == vocabulary.count, scores.allSatisfy(\.isFinite) else {
            throw TokenizerError(.invalidVocabulary, "a token's score is missing or not a number")
        }
        self.scores = scores
        self.characters = characters
        self.addsSpace = addsSpace
        self.removesSpaces = removesSpaces
        let least = zip(scores, vocabulary.kinds).lazy.filter { $0.1 == .normal }.map(\.0).min() ?? 0
        unknownScore = least - Self.unknownPenalty
    }

    /// The best way to cut a text up to some byte.
    private struct Path {
        var score = -Float.infinity
        /// Where its last token begins.
        var start = 0
        /// -1: a character that no token spells.
        var token: Int32 = -1
    }

    /// - Complexity: O(n) in the text's bytes, times the longest token's characters.
    func encode(
        _ text: ArraySlice<UInt8>, _ vocabulary: Vocabulary, into tokens: inout [Int32], unless isOver: (Int) -> Bool
    ) -> Bool {
        guard let bytes = normalized(text, unless: isOver) else { return false }
        let starts = bytes.indices.filter { bytes[$0] & 0xc0 != 0x80 } + [bytes.count]
        var paths = [Path](repeating: Path(), count: bytes.count + 1)
        paths[0].score = 0
        for (index, start) in starts.dropLast().enumerated() {
            var looked = 0
            var isSpelled = false
            for end in starts[(index + 1)...] {
                guard end - start <= vocabulary.longestToken else { break }
                looked += end - start
                guard let token = vocabulary.id(of: bytes[start..<end]) else { continue }
                isSpelled = isSpelled || end == starts[index + 1]
                let score = paths[start].score + scores[Int(token)]
                if score > paths[end].score { paths[end] = Path(score: score, start: start, token: token) }
            }
            let end = starts[index + 1]
            let score = paths[start].score + unknownScore
            if !isSpelled, score > paths[end].score { paths[end] = Path(score: score, start: start) }
            if isOver(max(1, looked)) { return false }
        }
        var cuts: [Int] = []
        var end = bytes.count
        while end > 0 {
            cuts.append(end)
            end = paths[end].start
        }
        var follows = false
        for end in cuts.reversed() {
            let path = paths[end]
            if path.token >= 0 {
                tokens.append(path.token)
            } else if vocabulary.spellsBytes || !follows {
                // Characters that no token spells become one unknown token together.
                vocabulary.appendBytes(bytes[path.start..<end], to: &tokens)
            }
            follows = path.token < 0
        }
        return true
    }

    /// A text with its characters replaced, and with its spaces as the model knows them.
    private func normalized(_ text: ArraySlice<UInt8>, unless isOver: (Int) -> Bool) -> [UInt8]? {
        var result: [UInt8] = []
        var hasSpace = removesSpaces
        var rest = text
        while !rest.isEmpty {
            let (length, replacement) = characters?.longestMatch(in: rest) ?? (Self.characterLength(rest), nil)
            let piece = replacement ?? rest.prefix(length)
            for byte in piece {
                if byte == 0x20, hasSpace { continue }
                hasSpace = byte == 0x20 && removesSpaces
                result.append(byte)
            }
            rest = rest.dropFirst(length)
            if isOver(length) { return nil }
        }
        while removesSpaces, result.last == 0x20 { result.removeLast() }
        if addsSpace, !result.isEmpty { result.insert(0x20, at: 0) }
        return Vocabulary.withSpaces(result)
    }

    private static func characterLength(_ bytes: ArraySlice<UInt8>) -> Int {
        1 + bytes.dropFirst().prefix { $0 & 0xc0 == 0x80 }.count
    }
}
