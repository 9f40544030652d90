// SPDX-License-Identifier: Apache-2.0

/// BPE over characters that merge by rules, with spaces for `▁`; a character that no token spells becomes its bytes.
package struct CharacterPairs: Sendable {
    /// Where a space is put in front.
    package enum LeadingSpace: Sendable, Equatable {
        case never
        /// Of each text between special tokens.
        case always
        /// The same, but of one that begins with a space.
        case alwaysBeforeLetters
        /// Of the first text alone, where no special token stands before it and it doesn't begin with a space.
        case onceBeforeLetters
    }

    private let merges: BytePairMerges
    private let leadingSpace: LeadingSpace
    /// Whether runs of line breaks are apart from what stands around them, as Gemma 4 has it.
    private let cutsLines: Bool

    package init(_ merges: BytePairMerges, leadingSpace: LeadingSpace = .never, cutsLines: Bool = false) {
        self.merges = merges
        self.leadingSpace = leadingSpace
        self.cutsLines = cutsLines
    }

    /// - Parameter isBeginning: whether nothing at all stands before the text.
    /// - Returns: false where `isOver` gave it up.
    func encode(
        _ text: ArraySlice<UInt8>, isBeginning: Bool, _ vocabulary: Vocabulary, into tokens: inout [Int32],
        unless isOver: (Int) -> Bool
    ) -> Bool {
        // The vocabulary's `▁` are spaces here, so those of the text are, too.
        var bytes = Vocabulary.withSpaces(Array(text))
        let addsSpace =
            switch leadingSpace {
            case .never: false
            case .always: true
            case .alwaysBeforeLetters: bytes.first != 0x20
            case .onceBeforeLetters: isBeginning && bytes.first != 0x20
            }
        if addsSpace, !bytes.isEmpty { bytes.insert(0x20, at: 0) }
        var rest = bytes[...]
        while let first = rest.first {
            let isBreak = first == 0x0a
            let line = cutsLines ? rest.prefix { ($0 == 0x0a) == isBreak } : rest
            rest = rest[line.endIndex...]
            if isOver(line.count) { return false }
            let starts = line.indices.filter { line[$0] & 0xc0 != 0x80 } + [line.endIndex]
            let symbols = zip(starts, starts.dropFirst()).map { vocabulary.id(of: line[$0..<$1]) ?? -1 }
            merges.merge(symbols) { token, symbol in
                if token >= 0 {
                    tokens.append(token)
                } else {
                    vocabulary.appendBytes(line[starts[symbol]..<starts[symbol + 1]], to: &tokens)
                }
            }
        }
        return true
    }
}
