// SPDX-License-Identifier: Apache-2.0

/// Cuts a template into tokens, with the whitespace rules that chat templates are written for:
/// `trim_blocks` (a newline after a statement goes) and `lstrip_blocks` (indentation before one goes).
///
/// The rules are those of Jinja2 3.1's `lexer.py`. One file, because the modes of the lexer share its position and call
/// each other.
struct TemplateLexer {
    private let bytes: [UInt8]
    private var index = 0
    private var line = 1
    private var tokens: [LocatedToken] = []

    static func tokenize(_ source: String) throws(TemplateError) -> [LocatedToken] {
        var lexer = TemplateLexer(source)
        try lexer.run()
        return lexer.tokens
    }

    private init(_ source: String) {
        // Jinja drops one newline at the end of the source, and knows only \n inside.
        var bytes = Self.normalizingNewlines(Array(source.utf8))
        if bytes.last == 0x0a { bytes.removeLast() }
        self.bytes = bytes
    }

    private static func normalizingNewlines(_ bytes: [UInt8]) -> [UInt8] {
        guard bytes.contains(0x0d) else { return bytes }
        var result: [UInt8] = []
        for (index, byte) in bytes.enumerated() {
            if byte == 0x0a, index > 0, bytes[index - 1] == 0x0d { continue }
            result.append(byte == 0x0d ? 0x0a : byte)
        }
        return result
    }

    private mutating func run() throws(TemplateError) {
        while let open = nextTag(from: index) {
            let kind = bytes[open + 1]
            let sign = open + 2 < bytes.count && Self.isSign(bytes[open + 2]) ? bytes[open + 2] : 0
            appendText(upTo: open, sign: sign, stripsIndentation: kind != UInt8(ascii: "{"))
            index = open + (sign == 0 ? 2 : 3)
            switch kind {
            case UInt8(ascii: "#"): try skipComment()
            case UInt8(ascii: "%"):
                if try lexRawBlock() { continue }
                tokens.append(LocatedToken(token: .statementStart, line: line))
                try lexTag(closing: UInt8(ascii: "%"))
                tokens.append(LocatedToken(token: .statementEnd, line: line))
            default:
                tokens.append(LocatedToken(token: .outputStart, line: line))
                try lexTag(closing: UInt8(ascii: "}"))
                tokens.append(LocatedToken(token: .outputEnd, line: line))
            }
        }
        append(text: bytes[index...])
        tokens.append(LocatedToken(token: .end, line: line))
    }

    private static func isSign(_ byte: UInt8) -> Bool { byte == UInt8(ascii: "-") || byte == UInt8(ascii: "+") }

    private func nextTag(from start: Int) -> Int? {
        var at = start
        while at + 1 < bytes.count {
            if bytes[at] == UInt8(ascii: "{"), "{%#".utf8.contains(bytes[at + 1]) { return at }
            at += 1
        }
        return nil
    }

    // MARK: Text

    /// Appends the text from `index` up to a tag.
    ///
    /// - Parameters:
    ///   - sign: behind the tag's opening mark: `-` strips all whitespace before the tag, `+` keeps all, 0 is neither.
    ///   - stripsIndentation: whether a tag without a sign takes the blanks before it if it begins its line.
    private mutating func appendText(upTo end: Int, sign: UInt8, stripsIndentation: Bool) {
        let whole = bytes[index..<end]
        var text = whole
        if sign == UInt8(ascii: "-") {
            text = text[..<endWithoutSpaces(text)]
        } else if sign == 0, stripsIndentation {
            let lineStart = text.lastIndex(of: 0x0a).map { $0 + 1 }
            let beginsLine = index == 0 || bytes[index - 1] == 0x0a
            if let from = lineStart ?? (beginsLine ? index : nil), skipSpaces(from: from, limit: end) == end {
                text = text[..<from]
            }
        }
        append(text: text)
        line += whole.dropFirst(text.count).count { $0 == 0x0a }
        index = end
    }

    private mutating func append(text: ArraySlice<UInt8>) {
        guard !text.isEmpty else { return }
        tokens.append(LocatedToken(token: .text(String(decoding: text, as: UTF8.self)), line: line))
        line += text.count { $0 == 0x0a }
    }

    /// The length of the whitespace character at an offset; 0 if there is another character, or none.
    private func spaceLength(at offset: Int, limit: Int) -> Int {
        guard offset < limit else { return 0 }
        let lead = bytes[offset]
        if lead < 0x80 { return Unicode.Scalar(lead).isPythonSpace ? 1 : 0 }
        let length = lead >= 0xe0 ? 3 : 2
        guard lead < 0xf0, offset + length <= limit,
            let scalar = String(decoding: bytes[offset..<offset + length], as: UTF8.self).unicodeScalars.first
        else { return 0 }
        return scalar.isPythonSpace ? length : 0
    }

    private func skipSpaces(from start: Int, limit: Int? = nil) -> Int {
        let limit = limit ?? bytes.count
        var at = start
        while case let length = spaceLength(at: at, limit: limit), length > 0 { at += length }
        return at
    }

    private func endWithoutSpaces(_ text: ArraySlice<UInt8>) -> Int {
        var end = text.endIndex
        while end > text.startIndex {
            // A whitespace character has at most three bytes.
            let length = (1...3).first {
                end - $0 >= text.startIndex && spaceLength(at: end - $0, limit: end) == $0
            }
            guard let length else { break }
            end -= length
        }
        return end
    }

    // MARK: Tags

    private func starts(at offset: Int, with text: StaticString) -> Bool {
        text.withUTF8Buffer { offset + $0.count <= bytes.count && bytes[offset..<offset + $0.count].elementsEqual($0) }
    }

    /// Moves to an offset, counting lines.
    private mutating func move(to end: Int) {
        line += bytes[index..<end].count { $0 == 0x0a }
        index = end
    }

    /// The offset behind a tag's closing mark at `offset` and the whitespace that goes with it; nil without such a mark.
    ///
    /// - Parameter closing: the first byte of the mark: `%`, `#` or `}`.
    private func endOfTag(at offset: Int, closing: UInt8) -> Int? {
        let isOutput = closing == UInt8(ascii: "}")
        func mark(at offset: Int) -> Bool {
            offset + 1 < bytes.count && bytes[offset] == closing && bytes[offset + 1] == UInt8(ascii: "}")
        }
        guard offset < bytes.count else { return nil }
        if bytes[offset] == UInt8(ascii: "-"), mark(at: offset + 1) { return skipSpaces(from: offset + 3) }
        if bytes[offset] == UInt8(ascii: "+"), !isOutput, mark(at: offset + 1) { return offset + 3 }
        guard mark(at: offset) else { return nil }
        let end = offset + 2
        return !isOutput && end < bytes.count && bytes[end] == 0x0a ? end + 1 : end
    }

    private mutating func skipComment() throws(TemplateError) {
        for offset in index..<bytes.count {
            guard let end = endOfTag(at: offset, closing: UInt8(ascii: "#")) else { continue }
            return move(to: end)
        }
        throw TemplateError(.syntax, "a comment is never closed", line: line)
    }

    /// `{% raw %}…{% endraw %}`: appends what is inside as text. False where this is another statement.
    private mutating func lexRawBlock() throws(TemplateError) -> Bool {
        let name = skipSpaces(from: index)
        guard starts(at: name, with: "raw") else { return false }
        let close = skipSpaces(from: name + 3)
        if starts(at: close, with: "-%}") {
            move(to: skipSpaces(from: close + 3))
        } else if starts(at: close, with: "%}") {
            move(to: close + 2)
        } else {
            return false
        }
        for offset in index..<bytes.count where starts(at: offset, with: "{%") {
            let sign = offset + 2 < bytes.count && Self.isSign(bytes[offset + 2]) ? bytes[offset + 2] : 0
            let name = skipSpaces(from: offset + (sign == 0 ? 2 : 3))
            guard starts(at: name, with: "endraw"),
                let end = endOfTag(at: skipSpaces(from: name + 6), closing: UInt8(ascii: "%"))
            else { continue }
            appendText(upTo: offset, sign: sign, stripsIndentation: true)
            move(to: end)
            return true
        }
        throw TemplateError(.syntax, "a raw block is never closed", line: line)
    }

    /// Tokens up to and including the closing mark, which counts only where all brackets are closed.
    private mutating func lexTag(closing: UInt8) throws(TemplateError) {
        let start = line
        var brackets: [UInt8] = []
        while index < bytes.count {
            if brackets.isEmpty, let end = endOfTag(at: index, closing: closing) { return move(to: end) }
            let spaces = skipSpaces(from: index)
            guard spaces == index else {
                move(to: spaces)
                continue
            }
            let byte = bytes[index]
            switch byte {
            case UInt8(ascii: "{"): brackets.append(UInt8(ascii: "}"))
            case UInt8(ascii: "("): brackets.append(UInt8(ascii: ")"))
            case UInt8(ascii: "["): brackets.append(UInt8(ascii: "]"))
            case UInt8(ascii: "}"), UInt8(ascii: ")"), UInt8(ascii: "]"):
                guard brackets.popLast() == byte else {
                    throw TemplateError(.syntax, "unexpected \(Unicode.Scalar(byte))", line: line)
                }
            default: break
            }
            let tokenLine = line
            tokens.append(LocatedToken(token: try lexToken(byte), line: tokenLine))
        }
        throw TemplateError(.syntax, "a tag is never closed", line: start)
    }

    private mutating func lexToken(_ byte: UInt8) throws(TemplateError) -> TemplateToken {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "_"), 0x80...:
            return try lexName()
        case UInt8(ascii: "0")...UInt8(ascii: "9"): return try lexNumber()
        case UInt8(ascii: "'"), UInt8(ascii: "\""): return try lexString(quote: byte)
        default:
            for symbol in ["==", "!=", "<=", ">=", "//", "**"]
            where bytes[index...].prefix(2).elementsEqual(symbol.utf8) {
                index += 2
                return .symbol(symbol)
            }
            guard "+-*/%~<>=.,:|()[]{}".utf8.contains(byte) else {
                throw TemplateError(.syntax, "unexpected character \(Unicode.Scalar(byte))", line: line)
            }
            index += 1
            return .symbol(String(Unicode.Scalar(byte)))
        }
    }

    private mutating func lexName() throws(TemplateError) -> TemplateToken {
        let start = index
        while index < bytes.count, bytes[index] >= 0x80 || Self.isNameByte(bytes[index]) {
            if spaceLength(at: index, limit: bytes.count) > 0 { break }
            index += 1
        }
        let name = String(decoding: bytes[start..<index], as: UTF8.self)
        let isName = name.unicodeScalars.allSatisfy { $0.isASCII || $0.properties.isXIDContinue }
        // Names are hashed again and again.
        guard name.utf8.count <= 128 else {
            throw TemplateError(.syntax, "a name has more than 128 bytes", line: line)
        }
        guard isName, !name.isEmpty else {
            throw TemplateError(.syntax, "unexpected character in \(name.debugDescription)", line: line)
        }
        return .name(name)
    }

    private static func isNameByte(_ byte: UInt8) -> Bool {
        byte == UInt8(ascii: "_") || (byte | 0x20 >= 0x61 && byte | 0x20 <= 0x7a) || (0x30...0x39).contains(byte)
    }

    // MARK: Numbers

    private mutating func lexNumber() throws(TemplateError) -> TemplateToken {
        let start = index
        let isBehindPoint = start > 0 && bytes[start - 1] == UInt8(ascii: ".")
        let (end, radix, isFloat) = isBehindPoint ? endOfInteger(start) : endOfFloat(start) ?? endOfInteger(start)
        index = end
        var digits = String(decoding: bytes[start..<end].filter { $0 != UInt8(ascii: "_") }, as: UTF8.self)
        if isFloat, let value = Double(digits) { return .float(value) }
        if radix != 10 { digits.removeFirst(2) }
        guard !isFloat, let value = Int(digits, radix: radix) else {
            throw TemplateError(.syntax, "the number \(digits.prefix(64)) is out of range", line: line)
        }
        return .integer(value)
    }

    /// The offset behind digits, between which single underscores may stand; nil if there is no digit.
    private func endOfDigits(_ start: Int, _ isDigit: (UInt8) -> Bool = { (0x30...0x39).contains($0) }) -> Int? {
        var at = start
        while at < bytes.count {
            let isSeparator = bytes[at] == UInt8(ascii: "_") && at > start && at + 1 < bytes.count
            if isDigit(bytes[at]) {
                at += 1
            } else if isSeparator, isDigit(bytes[at + 1]) {
                at += 2
            } else {
                break
            }
        }
        return at > start ? at : nil
    }

    private func endOfFloat(_ start: Int) -> (end: Int, radix: Int, isFloat: Bool)? {
        guard var end = endOfDigits(start) else { return nil }
        var isFloat = false
        if end < bytes.count, bytes[end] == UInt8(ascii: "."), let fraction = endOfDigits(end + 1) {
            (end, isFloat) = (fraction, true)
        }
        if end < bytes.count, bytes[end] | 0x20 == UInt8(ascii: "e") {
            let isSigned = end + 1 < bytes.count && Self.isSign(bytes[end + 1])
            if let exponent = endOfDigits(end + (isSigned ? 2 : 1)) { (end, isFloat) = (exponent, true) }
        }
        return isFloat ? (end, 10, true) : nil
    }

    private func endOfInteger(_ start: Int) -> (end: Int, radix: Int, isFloat: Bool) {
        let prefix = start + 1 < bytes.count && bytes[start] == UInt8(ascii: "0") ? bytes[start + 1] | 0x20 : 0
        let radix =
            prefix == UInt8(ascii: "x") ? 16 : prefix == UInt8(ascii: "o") ? 8 : prefix == UInt8(ascii: "b") ? 2 : 10
        if radix != 10 {
            func isDigit(_ byte: UInt8) -> Bool {
                Character(Unicode.Scalar(byte)).hexDigitValue.map { $0 < radix } ?? false
            }
            let first = start + 2 < bytes.count && bytes[start + 2] == UInt8(ascii: "_") ? start + 3 : start + 2
            if let end = endOfDigits(first, isDigit) { return (end, radix, false) }
        }
        // A number that begins with 0 is 0: what follows is another token.
        let zero = bytes[start] == UInt8(ascii: "0")
        return (endOfDigits(start) { zero ? $0 == 0x30 : (0x30...0x39).contains($0) } ?? start + 1, 10, false)
    }

    // MARK: Strings

    private mutating func lexString(quote: UInt8) throws(TemplateError) -> TemplateToken {
        let start = line
        var result: [UInt8] = []
        index += 1
        while index < bytes.count {
            let byte = bytes[index]
            index += 1
            if byte == quote { return .string(String(decoding: result, as: UTF8.self)) }
            if byte == 0x0a { line += 1 }
            if byte == UInt8(ascii: "\\"), index < bytes.count {
                try lexEscape(into: &result)
            } else {
                result.append(byte)
            }
        }
        throw TemplateError(.syntax, "a string is never closed", line: start)
    }

    /// What follows a backslash, as Python's `unicode-escape` reads it.
    private mutating func lexEscape(into result: inout [UInt8]) throws(TemplateError) {
        let escaped = bytes[index]
        guard escaped < 0x80 else { return lexEscapedCharacter(into: &result) }
        index += 1
        switch escaped {
        case 0x0a: line += 1
        case UInt8(ascii: "n"): result.append(0x0a)
        case UInt8(ascii: "t"): result.append(0x09)
        case UInt8(ascii: "r"): result.append(0x0d)
        case UInt8(ascii: "a"): result.append(0x07)
        case UInt8(ascii: "b"): result.append(0x08)
        case UInt8(ascii: "f"): result.append(0x0c)
        case UInt8(ascii: "v"): result.append(0x0b)
        case UInt8(ascii: "0")...UInt8(ascii: "7"):
            let start = index - 1
            while index < start + 3, index < bytes.count, (0x30...0x37).contains(bytes[index]) { index += 1 }
            try append(digits: start..<index, radix: 8, to: &result)
        case UInt8(ascii: "\\"), UInt8(ascii: "'"), UInt8(ascii: "\""): result.append(escaped)
        case UInt8(ascii: "x"): try appendScalar(hexDigits: 2, to: &result)
        case UInt8(ascii: "u"): try appendScalar(hexDigits: 4, to: &result)
        case UInt8(ascii: "U"): try appendScalar(hexDigits: 8, to: &result)
        case UInt8(ascii: "N"):
            throw TemplateError(.unsupported, "characters by name (\\N{…}) are not supported", line: line)
        default: result.append(contentsOf: [UInt8(ascii: "\\"), escaped])
        }
    }

    /// A backslash before a character beyond ASCII: Jinja spells such characters as escapes first, so that the backslash
    /// escapes that escape's own, and its digits stay.
    private mutating func lexEscapedCharacter(into result: inout [UInt8]) {
        guard
            let scalar = String(decoding: bytes[index..<min(index + 4, bytes.count)], as: UTF8.self).unicodeScalars
                .first
        else { return }
        index += UTF8.width(scalar)
        let hex = String(scalar.value, radix: 16)
        let (letter, width) = scalar.value < 0x100 ? ("x", 2) : scalar.value < 0x10000 ? ("u", 4) : ("U", 8)
        result += "\\\(letter)\(String(repeating: "0", count: width - hex.utf8.count))\(hex)".utf8
    }

    private mutating func appendScalar(hexDigits count: Int, to result: inout [UInt8]) throws(TemplateError) {
        let end = min(index + count, bytes.count)
        let isHex = bytes[index..<end].allSatisfy { Character(Unicode.Scalar($0)).isHexDigit }
        guard end - index == count, isHex else {
            throw TemplateError(.syntax, "a string has an invalid escape", line: line)
        }
        try append(digits: index..<end, radix: 16, to: &result)
        index = end
    }

    private func append(digits: Range<Int>, radix: Int, to result: inout [UInt8]) throws(TemplateError) {
        guard let value = UInt32(String(decoding: bytes[digits], as: UTF8.self), radix: radix), value <= 0x10ffff else {
            throw TemplateError(.syntax, "a string has an invalid escape", line: line)
        }
        guard let scalar = Unicode.Scalar(value) else {
            throw TemplateError(.unsupported, "half of a surrogate pair in a string is not supported", line: line)
        }
        result += String(scalar).utf8
    }
}
