// SPDX-License-Identifier: Apache-2.0

/// SentencePiece's `precompiled_charsmap`: it replaces characters by others before the tokenizer looks for tokens.
///
/// The bytes are the length of a trie in 32 bits, the trie, and texts that end in a zero byte. The trie is a double array
/// (Aoe 1989) in darts-clone's units of 32 bits; a leaf's value is where the replacement's text begins.
package struct CharacterMap: Sendable {
    private let units: [UInt32]
    private let texts: [UInt8]

    package init(_ bytes: [UInt8]) throws(TokenizerError) {
        func number(at index: Int) -> UInt32 {
            (0..<4).reduce(UInt32(0)) { $0 | UInt32(bytes[index + $1]) << (8 * UInt32($1)) }
        }
        guard bytes.count > 4, case let length = Int(number(at: 0)), length > 0, length % 4 == 0,
            length <= bytes.count - 4
        else {
            throw TokenizerError(.invalidVocabulary, "the map of characters is cut off")
        }
        units = stride(from: 4, to: 4 + length, by: 4).map(number)
        texts = Array(bytes[(4 + length)...])
        guard texts.isEmpty || texts.last == 0 else {
            throw TokenizerError(.invalidVocabulary, "the map of characters ends in the middle of a text")
        }
    }

    /// The longest beginning of a text that is replaced, and by what; nil where none is.
    package func longestMatch(in text: ArraySlice<UInt8>) -> (length: Int, replacement: ArraySlice<UInt8>?)? {
        var found: (length: Int, start: Int)?
        var position = Self.offset(units[0])
        for (index, byte) in text.enumerated() {
            position ^= Int(byte)
            guard byte != 0, units.indices.contains(position), Self.label(units[position]) == UInt32(byte) else {
                break
            }
            let unit = units[position]
            position ^= Self.offset(unit)
            guard units.indices.contains(position) else { break }
            if (unit >> 8) & 1 == 1 { found = (index + 1, Int(units[position] & 0x7fff_ffff)) }
        }
        guard let found, found.start < texts.count else { return nil }
        return (found.length, texts[found.start...].prefix { $0 != 0 })
    }

    private static func offset(_ unit: UInt32) -> Int { Int((unit >> 10) << ((unit & (1 << 9)) >> 6)) }
    private static func label(_ unit: UInt32) -> UInt32 { unit & ((1 << 31) | 0xff) }
}
