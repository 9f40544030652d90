// SPDX-License-Identifier: Apache-2.0

import Foundation

/// BERT's tokens (Schuster and Nakajima 2012, as Devlin et al. 2018 use it): text in lower case without accents, cut into
/// words and signs; a word is the longest token that begins it, then the longest that goes on, and so forth.
///
/// GGUF files write the tokens that begin a word with `▁`, those that go on without.
package struct WordPiece: Sendable {
    /// Bytes of a word; a longer one is unknown.
    private static let longestWord = 400
    /// Whether letters are changed to lower case and lose their accents.
    private let normalizes: Bool

    package init(normalizes: Bool) { self.normalizes = normalizes }

    func encode(
        _ text: ArraySlice<UInt8>, _ vocabulary: Vocabulary, into tokens: inout [Int32], unless isOver: (Int) -> Bool
    ) -> Bool {
        var word: [UInt8] = []
        var read = 0
        func end() {
            if !word.isEmpty { encode(word: word, vocabulary, into: &tokens) }
            word = []
        }
        for scalar in normalized(String(decoding: text, as: UTF8.self)) {
            read += 1
            if read >= 1024 {
                if isOver(read) { return false }
                read = 0
            }
            switch scalar.properties.generalCategory {
            case .spaceSeparator, .lineSeparator, .paragraphSeparator: end()
            case .control where scalar.properties.isWhitespace: end()
            case .control, .format, .unassigned, .privateUse, .surrogate: continue
            default:
                if scalar.value == 0xfffd { continue }
                if Self.standsAlone(scalar) {
                    end()
                    word = Array(String(Character(scalar)).utf8)
                    end()
                } else {
                    word.append(contentsOf: String(Character(scalar)).utf8)
                }
            }
        }
        end()
        return true
    }

    private func normalized(_ text: String) -> [Unicode.Scalar] {
        guard normalizes else { return Array(text.unicodeScalars) }
        let letters = text.decomposedStringWithCanonicalMapping.unicodeScalars.filter {
            $0.properties.generalCategory != .nonspacingMark
        }
        return letters.flatMap { $0.properties.lowercaseMapping.unicodeScalars }
    }

    /// Signs and ideographs.
    private static func standsAlone(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x21...0x2f, 0x3a...0x40, 0x5b...0x60, 0x7b...0x7e: return true
        case 0x4e00...0x9fff, 0x3400...0x4dbf, 0x20000...0x2a6df, 0x2a700...0x2b73f, 0x2b740...0x2b81f,
            0x2b920...0x2ceaf, 0xf900...0xfaff, 0x2f800...0x2fa1f:
            return true
        default: return CharacterClass(of: scalar) == .punctuation
        }
    }

    private func encode(word: [UInt8], _ vocabulary: Vocabulary, into tokens: inout [Int32]) {
        var pieces: [Int32] = []
        // The mark of a beginning.
        let spelled = [0x20] + word
        var start = 0
        while start < spelled.count {
            var end = min(spelled.count, start + vocabulary.longestToken)
            while end > start {
                let isWhole = end == spelled.count || spelled[end] & 0xc0 != 0x80
                if isWhole, let token = vocabulary.id(of: spelled[start..<end]) {
                    pieces.append(token)
                    break
                }
                end -= 1
            }
            guard end > start, word.count <= Self.longestWord else {
                if let unknown = vocabulary.unknownToken { tokens.append(unknown) }
                return
            }
            start = end
        }
        tokens += pieces
    }
}
