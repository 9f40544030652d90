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

/// The tokens of a byte-level BPE vocabulary: each an id and the bytes it stands for.
package struct Vocabulary: Sendable {
    /// `[id]`: the bytes of the token; the literal text of a control token.
    package let bytes: [[UInt8]]
    /// `[id]`
    package let kinds: [TokenKind]
    /// Bytes of the token that stands for most of them; at least 1.
    package let longestToken: Int
    private let ids: [[UInt8]: Int32]

    package var count: Int { bytes.count }

    /// - Parameters:
    ///   - spellings: UTF-8 of each token, in GPT-2's byte alphabet unless it is a control or user-defined token.
    ///   - kinds: GGUF's numbers, one a token; empty means that all are normal.
    package init(spellings: [[UInt8]], kinds kindNumbers: [Int32]) throws(TokenizerError) {
        guard !spellings.isEmpty, spellings.count < Int(Int32.max) else {
            throw TokenizerError(.invalidVocabulary, "the vocabulary has \(spellings.count) tokens")
        }
        guard kindNumbers.isEmpty || kindNumbers.count == spellings.count else {
            throw TokenizerError(
                .invalidVocabulary, "\(spellings.count) tokens but \(kindNumbers.count) token types")
        }
        var bytes: [[UInt8]] = []
        var kinds: [TokenKind] = []
        var ids: [[UInt8]: Int32] = [:]
        bytes.reserveCapacity(spellings.count)
        ids.reserveCapacity(spellings.count)
        for (index, spelling) in spellings.enumerated() {
            let number = kindNumbers.isEmpty ? TokenKind.normal.rawValue : kindNumbers[index]
            guard let kind = TokenKind(rawValue: number) else {
                throw TokenizerError(.invalidVocabulary, "token \(index) has unknown type \(number)")
            }
            guard let text = String(validating: spelling, as: UTF8.self) else {
                throw TokenizerError(.invalidVocabulary, "token \(index) is not valid UTF-8")
            }
            let own: [UInt8] =
                switch kind {
                case .normal, .unused, .byte: ByteAlphabet.bytes(of: text) ?? spelling
                case .control, .userDefined, .unknown: spelling
                }
            kinds.append(kind)
            bytes.append(own)
            // Text becomes the first of the tokens with the same bytes, and never a control token.
            if kind == .normal || kind == .byte, ids[own] == nil { ids[own] = Int32(index) }
        }
        longestToken = max(1, bytes.lazy.map(\.count).max() ?? 1)
        self.bytes = bytes
        self.kinds = kinds
        self.ids = ids
    }

    /// The token that stands for these bytes of ordinary text.
    package func id(of bytes: [UInt8]) -> Int32? { ids[bytes] }

    /// Whether an id is one of this vocabulary's.
    package func contains(_ id: Int32) -> Bool { id >= 0 && Int(id) < count }
}
