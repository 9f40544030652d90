// SPDX-License-Identifier: Apache-2.0

/// Kinds of characters that the patterns of pre-tokenizers tell apart.
package struct CharacterClass: OptionSet, Sendable {
    package let rawValue: UInt16

    package init(rawValue: UInt16) { self.rawValue = rawValue }

    /// `\p{Lu}\p{Lt}`
    static let upper = CharacterClass(rawValue: 1)
    /// `\p{Ll}`
    static let lower = CharacterClass(rawValue: 2)
    /// `\p{Lm}\p{Lo}`
    static let otherLetter = CharacterClass(rawValue: 4)
    /// `\p{M}`
    static let mark = CharacterClass(rawValue: 8)
    /// `\p{N}`
    static let number = CharacterClass(rawValue: 16)
    /// `\s`
    static let space = CharacterClass(rawValue: 32)
    /// `\p{P}`
    static let punctuation = CharacterClass(rawValue: 64)
    /// `\p{S}`
    static let symbol = CharacterClass(rawValue: 128)
    /// What is none of the others: control characters, format marks, characters that are not assigned.
    static let other = CharacterClass(rawValue: 256)

    /// `\p{L}`
    static let letter: CharacterClass = [.upper, .lower, .otherLetter]
    /// `[^\s\p{L}\p{N}]`
    static let rest: CharacterClass = [.mark, .punctuation, .symbol, .other]
    /// `[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]`
    static let upperLike: CharacterClass = [.upper, .otherLetter, .mark]
    /// `[\p{Ll}\p{Lm}\p{Lo}\p{M}]`
    static let lowerLike: CharacterClass = [.lower, .otherLetter, .mark]

    init(of scalar: Unicode.Scalar) {
        switch scalar.value {
        case 0x41...0x5a: self = .upper
        case 0x61...0x7a: self = .lower
        case 0x30...0x39: self = .number
        case 0x09...0x0d, 0x20: self = .space
        default:
            switch scalar.properties.generalCategory {
            case .uppercaseLetter, .titlecaseLetter: self = .upper
            case .lowercaseLetter: self = .lower
            case .modifierLetter, .otherLetter: self = .otherLetter
            case .nonspacingMark, .spacingMark, .enclosingMark: self = .mark
            case .decimalNumber, .letterNumber, .otherNumber: self = .number
            case .connectorPunctuation, .dashPunctuation, .openPunctuation, .closePunctuation, .initialPunctuation,
                .finalPunctuation, .otherPunctuation:
                self = .punctuation
            case .mathSymbol, .currencySymbol, .modifierSymbol, .otherSymbol: self = .symbol
            default: self = scalar.properties.isWhitespace ? .space : .other
            }
        }
    }
}

/// A text's characters by what the scanners ask of them.
package struct ClassifiedText {
    package let bytes: [UInt8]
    /// `[characters + 1]`: where each begins in `bytes`.
    private(set) var offsets: [Int] = []
    /// `[characters]`
    private(set) var classes: [CharacterClass] = []

    var count: Int { classes.count }

    /// - Parameter utf8: whole characters.
    package init(_ utf8: ArraySlice<UInt8>) {
        bytes = Array(utf8)
        offsets.reserveCapacity(bytes.count + 1)
        classes.reserveCapacity(bytes.count)
        var offset = 0
        for scalar in String(decoding: bytes, as: UTF8.self).unicodeScalars {
            offsets.append(offset)
            classes.append(CharacterClass(of: scalar))
            offset += UTF8.width(scalar)
        }
        offsets.append(offset)
    }

    /// The first byte of a character.
    func byte(_ index: Int) -> UInt8 { bytes[offsets[index]] }

    func isLineBreak(_ index: Int) -> Bool { byte(index) == 0x0a || byte(index) == 0x0d }

    func scalar(_ index: Int) -> UInt32 {
        let bytes = bytes[offsets[index]..<offsets[index + 1]]
        guard let first = bytes.first, first >= 0x80 else { return UInt32(bytes.first ?? 0) }
        let lead = UInt32(first) & (bytes.count == 2 ? 0x1f : bytes.count == 3 ? 0x0f : 0x07)
        return bytes.dropFirst().reduce(lead) { $0 << 6 | UInt32($1 & 0x3f) }
    }

    /// The end of the characters from `index` that are of some classes.
    func run(from index: Int, limit: Int, of wanted: CharacterClass) -> Int {
        var end = index
        while end < limit, wanted.contains(classes[end]) { end += 1 }
        return end
    }

    /// The end of the characters from `index` that satisfy a condition.
    func run(from index: Int, limit: Int, while condition: (Int) -> Bool) -> Int {
        var end = index
        while end < limit, condition(end) { end += 1 }
        return end
    }
}
