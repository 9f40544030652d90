// SPDX-License-Identifier: Apache-2.0

/// A set of characters that a pattern names, by their classes or one by one.
enum CharacterSet: Sendable {
    /// `\p{N}`
    case numbers
    /// `[0-9]`
    case asciiDigits
    /// `\p{L}`
    case letters
    /// `\p{P}`
    case punctuation
    /// `[\r\n]`
    case lineBreaks
    /// ``[\p{P}$+<=>^~|`]``
    case falconPunctuation
    /// `[(|.,!?…。，、।۔،)]`
    case bloomSeparators
    /// DeepSeek's list of letters of scripts that have case.
    case casedLetters
    /// `[!-/:-~！-／：-～‘-‟　-。]`
    case deepSeekPunctuation
    /// `[一-龥ࠀ-一가-퟿]`
    case ideographsAndHangul
    /// `[一-龥぀-ゟ゠-ヿ]`
    case ideographsAndKana

    func contains(_ text: ClassifiedText, _ index: Int) -> Bool {
        let kind = text.classes[index]
        switch self {
        case .numbers: return kind == .number
        case .asciiDigits: return (0x30...0x39).contains(text.byte(index))
        case .letters: return CharacterClass.letter.contains(kind)
        case .punctuation: return kind == .punctuation
        case .lineBreaks: return text.isLineBreak(index)
        case .falconPunctuation: return kind == .punctuation || "$+<=>^~|`".utf8.contains(text.byte(index))
        case .bloomSeparators: return Self.isIn(Self.bloomRanges, text.scalar(index))
        case .casedLetters: return Self.isIn(Self.casedRanges, text.scalar(index))
        case .deepSeekPunctuation: return Self.isIn(Self.deepSeekRanges, text.scalar(index))
        case .ideographsAndHangul:
            switch text.scalar(index) {
            // The second of the ranges that the pattern names ends where the first begins.
            case 0x0800...0x9fa5, 0xac00...0xd7ff: return true
            default: return false
            }
        case .ideographsAndKana:
            switch text.scalar(index) {
            case 0x4e00...0x9fa5, 0x3040...0x30ff: return true
            default: return false
            }
        }
    }

    private static func isIn(_ ranges: [ClosedRange<UInt32>], _ scalar: UInt32) -> Bool {
        var (low, high) = (0, ranges.count)
        while low < high {
            let middle = (low + high) / 2
            if ranges[middle].upperBound < scalar { low = middle + 1 } else { high = middle }
        }
        return low < ranges.count && ranges[low].contains(scalar)
    }

    /// The ranges of a bracket expression: characters, and pairs of them with a hyphen between.
    private static func ranges(_ expression: String) -> [ClosedRange<UInt32>] {
        let scalars = Array(expression.unicodeScalars.map(\.value))
        var ranges: [ClosedRange<UInt32>] = []
        var index = 0
        while index < scalars.count {
            if index + 2 < scalars.count, scalars[index + 1] == 0x2d {
                ranges.append(scalars[index]...scalars[index + 2])
                index += 3
            } else {
                ranges.append(scalars[index]...scalars[index])
                index += 1
            }
        }
        return ranges.sorted { $0.lowerBound < $1.lowerBound }
    }

    private static let bloomRanges = ranges("(|.,!?\u{2026}\u{3002}\u{ff0c}\u{3001}\u{964}\u{6d4}\u{60c})")
    private static let deepSeekRanges = ranges(
        "!-/:-~\u{ff01}-\u{ff0f}\u{ff1a}-\u{ff5e}\u{2018}-\u{201f}\u{3000}-\u{3002}")
    private static let casedRanges: [ClosedRange<UInt32>] = [
        0x41...0x5a, 0x61...0x7a, 0xb5...0xb5, 0xc0...0xd6, 0xd8...0xf6, 0xf8...0x1ba, 0x1bc...0x1bf, 0x1c4...0x293,
        0x295...0x2af, 0x370...0x373, 0x376...0x377, 0x37b...0x37d, 0x37f...0x37f, 0x386...0x386, 0x388...0x38a,
        0x38c...0x38c, 0x38e...0x3a1, 0x3a3...0x3f5, 0x3f7...0x481, 0x48a...0x52f, 0x531...0x556, 0x10a0...0x10c5,
        0x13a0...0x13f5, 0x13f8...0x13fd, 0x1c90...0x1cba, 0x1cbd...0x1cbf, 0x1d00...0x1d2b, 0x1d6b...0x1d77,
        0x1d79...0x1d9a, 0x1e00...0x1f15, 0x1f18...0x1f1d, 0x1f20...0x1f45, 0x1f48...0x1f4d, 0x1f50...0x1f57,
        0x1f59...0x1f59, 0x1f5b...0x1f5b, 0x1f5d...0x1f5d, 0x1f5f...0x1f7d, 0x1f80...0x1fb4, 0x1fb6...0x1fbc,
        0x1fbe...0x1fbe, 0x1fc2...0x1fc4, 0x1fc6...0x1fcc, 0x1fd0...0x1fd3, 0x1fd6...0x1fdb, 0x1fe0...0x1fec,
        0x1ff2...0x1ff4, 0x1ff6...0x1ffc, 0x2102...0x2102, 0x2107...0x2107, 0x210a...0x2113, 0x2115...0x2115,
        0x2119...0x211d, 0x2124...0x2124, 0x2126...0x2126, 0x2128...0x2128, 0x212a...0x212d, 0x212f...0x2134,
        0x2139...0x2139, 0x213c...0x213f, 0x2145...0x2149, 0x214e...0x214e, 0x2183...0x2184, 0x2c00...0x2c7b,
        0x2c7e...0x2ce4, 0x2ceb...0x2cee, 0x2cf2...0x2cf3, 0xa640...0xa66d, 0xa680...0xa69b, 0xa722...0xa76f,
        0xa771...0xa787, 0xa78b...0xa78e, 0xab70...0xabbf, 0xfb00...0xfb06, 0xfb13...0xfb17, 0xff21...0xff3a,
        0xff41...0xff5a, 0x10400...0x1044f, 0x104b0...0x104d3, 0x104d8...0x104fb, 0x10c80...0x10cb2,
        0x10cc0...0x10cf2, 0x118a0...0x118df, 0x1e900...0x1e943,
    ]
}
