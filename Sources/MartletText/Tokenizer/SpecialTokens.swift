// SPDX-License-Identifier: Apache-2.0

/// Finds special tokens in text: leftmost first, of those the longest.
struct SpecialTokens: Sendable {
    /// Candidates by their first byte, longest first.
    private var byFirstByte: [[(bytes: [UInt8], id: Int32)]]

    init(_ vocabulary: Vocabulary, kinds: Set<TokenKind>, except excluded: Set<Int32> = []) {
        byFirstByte = Array(repeating: [], count: 256)
        for (id, kind) in vocabulary.kinds.enumerated() where kinds.contains(kind) && !excluded.contains(Int32(id)) {
            guard let first = vocabulary.bytes[id].first else { continue }
            byFirstByte[Int(first)].append((vocabulary.bytes[id], Int32(id)))
        }
        for byte in byFirstByte.indices { byFirstByte[byte].sort { $0.bytes.count > $1.bytes.count } }
    }

    enum Piece {
        case text(Substring)
        case special(Int32)
    }

    /// - Complexity: O(n) times the length of the tokens that begin alike.
    func split(_ text: String) -> [Piece] {
        var pieces: [Piece] = []
        let utf8 = text.utf8
        var start = utf8.startIndex
        var index = start
        while index < utf8.endIndex {
            guard
                let (bytes, id) = byFirstByte[Int(utf8[index])].first(where: {
                    utf8[index...].starts(with: $0.bytes)
                })
            else {
                utf8.formIndex(after: &index)
                continue
            }
            if start < index { pieces.append(.text(text[start..<index])) }
            pieces.append(.special(id))
            index = utf8.index(index, offsetBy: bytes.count)
            start = index
        }
        if start < utf8.endIndex { pieces.append(.text(text[start...])) }
        return pieces
    }
}
