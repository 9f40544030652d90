// SPDX-License-Identifier: Apache-2.0

/// What a token is for, by GGUF's numbers.
package enum TokenKind: Int32, Sendable {
    case normal = 1
    case unknown = 2
    /// Steers the model and has no text of its own: `<|im_end|>`.
    case control = 3
    /// Added text that is never split.
    case userDefined = 4
    case unused = 5
    case byte = 6
}

/// How a vocabulary writes the bytes of its ordinary tokens.
package enum TokenSpelling: Sendable {
    /// In GPT-2's alphabet, a printable character for each byte.
    case byteLevel
    /// As text with `▁` for a space; a byte of its own is `<0x0A>`.
    case sentencePiece
}

/// The tokens of a vocabulary: each an id and the bytes it stands for.
package struct Vocabulary: Sendable {
    /// `[id]`: the bytes of the token; the literal text of a control token.
    package let bytes: [[UInt8]]
    /// `[id]`
    package let kinds: [TokenKind]
    /// Bytes of the token that stands for most of them; at least 1.
    package let longestToken: Int
    private let table: TokenTable
    /// `[256]`: the token that stands for a byte where no token stands for its character; -1 without one.
    let byteTokens: [Int32]
    /// What stands for text that no token spells.
    let unknownToken: Int32?

    package var count: Int { bytes.count }
    /// Whether every byte has a token.
    var spellsBytes: Bool { byteTokens.allSatisfy { $0 >= 0 } }

    /// - Parameters:
    ///   - spellings: UTF-8 of each token, in GPT-2's byte alphabet unless it is a control or user-defined token.
    ///   - kinds: GGUF's numbers, one a token; empty means that all are normal.
    ///   - spelling: how ordinary tokens are written.
    ///   - unknownToken: what stands for text that no token spells; nil: the first token of that kind, if there is one.
    package init(
        spellings: [[UInt8]], kinds kindNumbers: [Int32], _ spelling: TokenSpelling = .byteLevel,
        unknownToken: Int32? = nil
    ) throws(TokenizerError) {
        guard !spellings.isEmpty, spellings.count < Int(Int32.max) else {
            throw TokenizerError(.invalidVocabulary, "the vocabulary has \(spellings.count) tokens")
        }
        guard kindNumbers.isEmpty || kindNumbers.count == spellings.count else {
            throw TokenizerError(
                .invalidVocabulary, "\(spellings.count) tokens but \(kindNumbers.count) token types")
        }
        var bytes: [[UInt8]] = []
        var kinds: [TokenKind] = []
        var table = TokenTable(capacity: spellings.count)
        var byteTokens = [Int32](repeating: -1, count: 256)
        bytes.reserveCapacity(spellings.count)
        for (index, written) in spellings.enumerated() {
            let number = kindNumbers.isEmpty ? TokenKind.normal.rawValue : kindNumbers[index]
            guard let kind = TokenKind(rawValue: number) else {
                throw TokenizerError(.invalidVocabulary, "token \(index) has unknown type \(number)")
            }
            guard let text = String(validating: written, as: UTF8.self) else {
                throw TokenizerError(.invalidVocabulary, "token \(index) is not valid UTF-8")
            }
            let spelled: [UInt8]? =
                switch (kind, spelling) {
                case (.control, _), (.userDefined, _), (.unknown, _): nil
                case (_, .byteLevel): ByteAlphabet.bytes(of: text)
                case (_, .sentencePiece): Self.byte(written, kind).map { [$0] } ?? Self.withSpaces(written)
                }
            kinds.append(kind)
            bytes.append(spelled ?? written)
            // What isn't written in the alphabet is no ordinary token: no text becomes it.
            guard let own = spelled else { continue }
            // Text becomes the first of the tokens with the same bytes, and never a control token.
            if spelling == .sentencePiece, kind == .byte {
                if own.count == 1, byteTokens[Int(own[0])] < 0 { byteTokens[Int(own[0])] = Int32(index) }
            } else if kind == .normal || kind == .byte {
                table.insert(own, Int32(index))
            }
        }
        if spelling == .byteLevel {
            byteTokens = (UInt8.min...UInt8.max).map { table.token(of: [$0]) ?? -1 }
        }
        longestToken = max(1, bytes.lazy.map(\.count).max() ?? 1)
        self.bytes = bytes
        self.kinds = kinds
        self.table = table
        self.byteTokens = byteTokens
        let unknown = unknownToken.flatMap { kinds.indices.contains(Int($0)) ? $0 : nil }
        self.unknownToken = unknown ?? kinds.firstIndex(of: .unknown).map(Int32.init)
    }

    /// The byte that `<0x0A>` stands for.
    private static func byte(_ spelling: [UInt8], _ kind: TokenKind) -> UInt8? {
        guard kind == .byte, spelling.count == 6, spelling.starts(with: "<0x".utf8), spelling[5] == UInt8(ascii: ">")
        else { return nil }
        return UInt8(String(decoding: spelling[3..<5], as: UTF8.self), radix: 16)
    }

    /// A spelling with spaces for `▁`.
    static func withSpaces(_ spelling: [UInt8]) -> [UInt8] {
        var result: [UInt8] = []
        var index = 0
        while index < spelling.count {
            if spelling[index] == 0xe2, spelling[index...].starts(with: [0xe2, 0x96, 0x81]) {
                result.append(0x20)
                index += 3
            } else {
                result.append(spelling[index])
                index += 1
            }
        }
        return result
    }

    /// The token that stands for these bytes of ordinary text.
    package func id(of bytes: [UInt8]) -> Int32? { table.token(of: bytes[...]) }
    func id(of bytes: ArraySlice<UInt8>) -> Int32? { table.token(of: bytes) }

    /// Whether an id is one of this vocabulary's.
    package func contains(_ id: Int32) -> Bool { id >= 0 && Int(id) < count }
}
