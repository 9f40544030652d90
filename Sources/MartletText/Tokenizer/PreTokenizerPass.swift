// SPDX-License-Identifier: Apache-2.0

/// One regular expression of a pre-tokenizer, as a scanner.
enum PreTokenizerPass: Sendable, Equatable {
    /// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
    case gpt2
    case words(WordPattern)
    /// Characters of a set, as many as there are up to `longest`, if there are `shortest`.
    case runs(of: CharacterSet, longest: Int, shortest: Int = 1)
    /// `\s?` and one or more characters of a set.
    case spaced(CharacterSet)
    /// `\s+$`
    case spacesAtEnd
    /// `[^\n]+|\n+`
    case lines
    /// ` ?[^(\s|.,!?…。，、।۔،)]+`
    case bloom
    /// `[!-/:-@\[-`{-~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
    case deepSeek3

    /// The end of a match that begins at `index`; nil where none does.
    func match(_ text: ClassifiedText, at index: Int, limit: Int) -> Int? {
        switch self {
        case .gpt2: return text.endOfGPT2Word(from: index, limit: limit)
        case .words(let pattern): return pattern.match(text, at: index, limit: limit)
        case .runs(let set, let longest, let shortest):
            let end = text.run(from: index, limit: limit - index > longest ? index + longest : limit) {
                set.contains(text, $0)
            }
            return end - index >= shortest ? end : nil
        case .spaced(let set):
            // A space that belongs to the set begins a run of it.
            let isSpaced = text.classes[index] == .space && index + 1 < limit && set.contains(text, index + 1)
            let end = text.run(from: isSpaced ? index + 1 : index, limit: limit) { set.contains(text, $0) }
            return end > index ? end : nil
        case .spacesAtEnd:
            return text.run(from: index, limit: limit, of: .space) == limit ? limit : nil
        case .lines:
            let isBreak = text.byte(index) == 0x0a
            return text.run(from: index, limit: limit) { (text.byte($0) == 0x0a) == isBreak }
        case .bloom:
            let start = text.byte(index) == 0x20 && index + 1 < limit ? index + 1 : index
            let end = text.run(from: start, limit: limit) {
                !CharacterSet.bloomSeparators.contains(text, $0) && text.classes[$0] != .space
            }
            return end > start ? end : nil
        case .deepSeek3: return text.endOfDeepSeek3Word(from: index, limit: limit)
        }
    }
}

/// `contractions|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+` and its variants.
struct WordPattern: Sendable, Equatable {
    enum Contractions { case none, beforeWords, behindWords }
    enum Suffix { case none, lineBreaks, lineBreaksAndSlashes }

    /// `(?i:'s|'t|'re|'ve|'m|'ll|'d)`
    var contractions = Contractions.beforeWords
    var letters = CharacterClass.letter
    /// `[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+`, or with `+` and `*`, instead of letters.
    var isCased = false
    /// Digits in a row.
    var digits: Int
    /// What a run of other characters holds.
    var rest = CharacterClass.rest
    /// What may follow them.
    var suffix = Suffix.lineBreaks

    init(digits: Int) { self.digits = digits }

    /// Only characters that are in no class of the pattern match nothing.
    func match(_ text: ClassifiedText, at index: Int, limit: Int) -> Int? {
        if contractions == .beforeWords,
            let end = text.contraction(at: index, limit: limit, ignoringCase: true)
        {
            return end
        }
        if let end = word(text, at: index, limit: limit) { return end }
        let kind = text.classes[index]
        if kind == .number { return text.run(from: index, limit: min(limit, index + digits), of: .number) }
        let start =
            text.byte(index) == 0x20 && index + 1 < limit && rest.contains(text.classes[index + 1]) ? index + 1 : index
        if rest.contains(text.classes[start]) {
            let end = text.run(from: start, limit: limit, of: rest)
            switch suffix {
            case .none: return end
            case .lineBreaks: return text.run(from: end, limit: limit) { text.isLineBreak($0) }
            case .lineBreaksAndSlashes:
                return text.run(from: end, limit: limit) { text.isLineBreak($0) || text.byte($0) == UInt8(ascii: "/") }
            }
        }
        return text.endOfSpaces(from: index, limit: limit)
    }

    /// `[^\r\n\p{L}\p{N}]?` and letters.
    private func word(_ text: ClassifiedText, at index: Int, limit: Int) -> Int? {
        let mayPrecede =
            !CharacterClass([.letter, .number]).contains(text.classes[index]) && !text.isLineBreak(index)
            && index + 1 < limit
        if mayPrecede, let end = lettersEnd(text, from: index + 1, limit: limit) { return end }
        return lettersEnd(text, from: index, limit: limit)
    }

    private func lettersEnd(_ text: ClassifiedText, from index: Int, limit: Int) -> Int? {
        guard isCased else {
            let end = text.run(from: index, limit: limit, of: letters)
            return end > index ? end : nil
        }
        let upperEnd = text.run(from: index, limit: limit, of: .upperLike)
        // As many of the first kind as leave one of the second; those that are of both can be given back.
        var lowerStart = upperEnd
        if lowerStart == limit || !CharacterClass.lowerLike.contains(text.classes[lowerStart]) {
            lowerStart = (index..<upperEnd).last { CharacterClass.lowerLike.contains(text.classes[$0]) } ?? upperEnd
        }
        var end = text.run(from: lowerStart, limit: limit, of: .lowerLike)
        if end == lowerStart { end = upperEnd }
        guard end > index else { return nil }
        guard contractions == .behindWords, end < limit else { return end }
        return text.contraction(at: end, limit: limit, ignoringCase: true) ?? end
    }
}

extension ClassifiedText {
    /// The end of `'s`, `'t`, `'re`, `'ve`, `'m`, `'ll` or `'d` at `index`, if one is there.
    func contraction(at index: Int, limit: Int, ignoringCase: Bool) -> Int? {
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

    /// `\s*[\r\n]+|\s+(?!\S)|\s+`: up to the last line break of a run of spaces; else all of a run at the end of the text,
    /// all but its last before something else.
    func endOfSpaces(from index: Int, limit: Int) -> Int? {
        let end = run(from: index, limit: limit, of: .space)
        if let lineBreak = (index..<end).last(where: { isLineBreak($0) }) {
            return lineBreak + 1
        }
        return endOfSpaces(from: index, end: end, limit: limit)
    }

    /// `\s+(?!\S)|\s+`
    fileprivate func endOfSpaces(from index: Int, end: Int, limit: Int) -> Int? {
        guard end > index else { return nil }
        return end == limit || end - index == 1 ? end : end - 1
    }

    func endOfGPT2Word(from index: Int, limit: Int) -> Int? {
        if let end = contraction(at: index, limit: limit, ignoringCase: false) { return end }
        let start = byte(index) == 0x20 && index + 1 < limit ? index + 1 : index
        for kind in [CharacterClass.letter, .number, .rest] where kind.contains(classes[start]) {
            return run(from: start, limit: limit, of: kind)
        }
        return endOfSpaces(from: index, end: run(from: index, limit: limit, of: .space), limit: limit)
    }

    func endOfDeepSeek3Word(from index: Int, limit: Int) -> Int? {
        func isASCIILetter(_ index: Int) -> Bool {
            byte(index) < 0x80 && CharacterClass.letter.contains(classes[index])
        }
        let kind = classes[index]
        let isASCIIPunctuation = byte(index) < 0x80 && CharacterClass([.punctuation, .symbol]).contains(kind)
        if isASCIIPunctuation, index + 1 < limit, isASCIILetter(index + 1) {
            return run(from: index + 1, limit: limit) { isASCIILetter($0) }
        }
        let word: CharacterClass = [.letter, .mark]
        let mayPrecede = !CharacterClass([.letter, .punctuation, .symbol]).contains(kind) && !isLineBreak(index)
        if mayPrecede, index + 1 < limit, word.contains(classes[index + 1]) {
            return run(from: index + 1, limit: limit, of: word)
        }
        if word.contains(kind) { return run(from: index, limit: limit, of: word) }
        let signs: CharacterClass = [.punctuation, .symbol]
        let start = byte(index) == 0x20 && index + 1 < limit && signs.contains(classes[index + 1]) ? index + 1 : index
        if signs.contains(classes[start]) {
            let end = run(from: start, limit: limit, of: signs)
            return run(from: end, limit: limit) { isLineBreak($0) }
        }
        return endOfSpaces(from: index, limit: limit)
    }
}
