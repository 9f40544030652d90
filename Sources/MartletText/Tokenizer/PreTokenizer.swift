// SPDX-License-Identifier: Apache-2.0

/// Cuts text into the words that BPE merges within. Each is a scanner for one published regular expression; no regex
/// engine runs, so time is linear whatever the text.
package enum PreTokenizer: Sendable {
    /// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
    case gpt2
    /// `\p{N}` each alone, then GPT-2's between them.
    case smollm
    /// `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
    case llama3
    /// Llama 3's with `\p{N}` for `\p{N}{1,3}`.
    case qwen2

    /// By the name that GGUF's `tokenizer.ggml.pre` gives it.
    package init(named name: String) throws(TokenizerError) {
        switch name {
        case "gpt-2": self = .gpt2
        case "smollm": self = .smollm
        case "llama-bpe", "llama3", "llama-v3": self = .llama3
        case "qwen2": self = .qwen2
        default:
            throw TokenizerError(
                .unknownPreTokenizer,
                "pre-tokenizer \(name) is not supported; supported are gpt-2, smollm, llama-bpe and qwen2")
        }
    }

    /// Whether a word that is itself a token is taken as it stands, merges or not.
    var takesWholeWords: Bool { self == .llama3 }
    /// Whether a text begins with the BOS token where the file doesn't say.
    var addsBOSByDefault: Bool { self == .llama3 }

    /// Calls `body` with each word's range of `text.bytes`, in order; the words cover the text.
    package func forEachWord(in text: ClassifiedText, _ body: (Range<Int>) -> Void) {
        var index = 0
        func emit(upTo end: Int) {
            body(text.offsets[index]..<text.offsets[end])
            index = end
        }
        let count = text.count
        switch self {
        case .gpt2:
            while index < count { emit(upTo: text.endOfGPT2Word(from: index, limit: count)) }
        case .smollm:
            while index < count {
                if text.classes[index] == .number {
                    emit(upTo: index + 1)
                    continue
                }
                let limit = text.run(from: index, limit: count) { $0 != .number }
                while index < limit { emit(upTo: text.endOfGPT2Word(from: index, limit: limit)) }
            }
        case .llama3:
            while index < count { emit(upTo: text.endOfLlama3Word(from: index, digits: 3)) }
        case .qwen2:
            while index < count { emit(upTo: text.endOfLlama3Word(from: index, digits: 1)) }
        }
    }
}

/// A text's characters by what the scanners ask of them.
package struct ClassifiedText {
    enum Class: UInt8 { case letter, number, space, other }

    package let bytes: [UInt8]
    /// `[characters + 1]`: where each begins in `bytes`.
    private(set) var offsets: [Int] = []
    /// `[characters]`
    private(set) var classes: [Class] = []

    var count: Int { classes.count }

    /// - Parameter utf8: whole characters.
    package init(_ utf8: ArraySlice<UInt8>) {
        bytes = Array(utf8)
        offsets.reserveCapacity(bytes.count + 1)
        classes.reserveCapacity(bytes.count)
        var offset = 0
        for scalar in String(decoding: bytes, as: UTF8.self).unicodeScalars {
            offsets.append(offset)
            classes.append(Self.classify(scalar))
            offset += UTF8.width(scalar)
        }
        offsets.append(offset)
    }

    private static func classify(_ scalar: Unicode.Scalar) -> Class {
        switch scalar.value {
        case 0x41...0x5a, 0x61...0x7a: return .letter
        case 0x30...0x39: return .number
        case 0x09...0x0d, 0x20: return .space
        case 0..<0x80: return .other
        default: break
        }
        switch scalar.properties.generalCategory {
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: return .letter
        case .decimalNumber, .letterNumber, .otherNumber: return .number
        default: return scalar.properties.isWhitespace ? .space : .other
        }
    }

    private func byte(_ index: Int) -> UInt8 { bytes[offsets[index]] }
    private func isLineBreak(_ index: Int) -> Bool { byte(index) == 0x0a || byte(index) == 0x0d }

    /// The end of the characters from `index` whose class satisfies the condition.
    func run(from index: Int, limit: Int, while condition: (Class) -> Bool) -> Int {
        var end = index
        while end < limit, condition(classes[end]) { end += 1 }
        return end
    }

    /// The end of `'s`, `'t`, `'re`, `'ve`, `'m`, `'ll` or `'d` at `index`, if one is there.
    private func contraction(at index: Int, limit: Int, ignoringCase: Bool) -> Int? {
        guard byte(index) == UInt8(ascii: "'"), index + 1 < limit else { return nil }
        func letter(_ at: Int) -> UInt8 {
            guard at < limit else { return 0 }
            return ignoringCase && byte(at) < 0x80 ? byte(at) | 0x20 : byte(at)
        }
        switch (letter(index + 1), letter(index + 2)) {
        case (UInt8(ascii: "s"), _), (UInt8(ascii: "t"), _), (UInt8(ascii: "m"), _), (UInt8(ascii: "d"), _):
            return index + 2
        case (UInt8(ascii: "r"), UInt8(ascii: "e")), (UInt8(ascii: "v"), UInt8(ascii: "e")),
            (UInt8(ascii: "l"), UInt8(ascii: "l")):
            return index + 3
        default: return nil
        }
    }

    /// `\s+(?!\S)|\s+`: all of a run of spaces at the end of the text, all but its last before something else.
    private func endOfSpaces(from index: Int, end: Int, limit: Int) -> Int {
        end == limit || end - index == 1 ? end : end - 1
    }

    func endOfGPT2Word(from index: Int, limit: Int) -> Int {
        if let end = contraction(at: index, limit: limit, ignoringCase: false) { return end }
        let start = byte(index) == 0x20 && index + 1 < limit ? index + 1 : index
        let kind = classes[start]
        if kind != .space { return run(from: start, limit: limit) { $0 == kind } }
        return endOfSpaces(from: index, end: run(from: index, limit: limit) { $0 == .space }, limit: limit)
    }

    func endOfLlama3Word(from index: Int, digits: Int) -> Int {
        let limit = count
        if let end = contraction(at: index, limit: limit, ignoringCase: true) { return end }
        let kind = classes[index]
        let follows = index + 1 < limit ? classes[index + 1] : nil
        if kind == .letter || (kind != .number && !isLineBreak(index) && follows == .letter) {
            return run(from: index + 1, limit: limit) { $0 == .letter }
        }
        if kind == .number {
            return run(from: index, limit: min(limit, index + digits)) { $0 == .number }
        }
        if kind == .other || (byte(index) == 0x20 && follows == .other) {
            var end = run(from: index + 1, limit: limit) { $0 == .other }
            while end < limit, isLineBreak(end) { end += 1 }
            return end
        }
        let end = run(from: index, limit: limit) { $0 == .space }
        if let lineBreak = (index..<end).last(where: { isLineBreak($0) }) { return lineBreak + 1 }
        return endOfSpaces(from: index, end: end, limit: limit)
    }
}
