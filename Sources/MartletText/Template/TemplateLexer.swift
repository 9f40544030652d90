// SPDX-License-Identifier: Apache-2.0

/// Cuts a template into tokens, with the whitespace rules that chat templates are written for:
/// `trim_blocks` (a newline after a statement goes) and `lstrip_blocks` (indentation before one goes).
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
        var bytes = Array(source.utf8)
        if bytes.contains(0x0d) {
            bytes = Array(source.replacingNewlines().utf8)
        }
        if bytes.last == 0x0a { bytes.removeLast() }
        self.bytes = bytes
    }

    private mutating func run() throws(TemplateError) {
        var textStart = 0
        var stripsLeading = false
        while true {
            guard let open = nextTag(from: index) else {
                appendText(textStart..<bytes.count, strippingStart: stripsLeading, strippingEnd: .none)
                break
            }
            let kind = bytes[open + 1]
            let marker = open + 2 < bytes.count ? bytes[open + 2] : 0
            let stripping: EndStripping =
                marker == UInt8(ascii: "-")
                ? .all
                : marker == UInt8(ascii: "+") || kind == UInt8(ascii: "{") ? .none : .indentation
            appendText(textStart..<open, strippingStart: stripsLeading, strippingEnd: stripping)
            index = open + 2
            if marker == UInt8(ascii: "-") || marker == UInt8(ascii: "+") { index += 1 }
            let end: TagEnd
            switch kind {
            case UInt8(ascii: "#"): end = try skipComment() ? .strips : .plain
            case UInt8(ascii: "%"):
                if let raw = try rawBlock() {
                    textStart = index
                    stripsLeading = raw
                    continue
                }
                tokens.append(LocatedToken(token: .statementStart, line: line))
                end = try lexTag(closing: "%}")
                tokens.append(LocatedToken(token: .statementEnd, line: line))
            default:
                tokens.append(LocatedToken(token: .outputStart, line: line))
                end = try lexTag(closing: "}}")
                tokens.append(LocatedToken(token: .outputEnd, line: line))
            }
            if end == .plain, kind != UInt8(ascii: "{"), index < bytes.count, bytes[index] == 0x0a {
                index += 1
                line += 1
            }
            textStart = index
            stripsLeading = end == .strips
        }
        tokens.append(LocatedToken(token: .end, line: line))
    }

    /// What a closing mark does to the text after it: `%}` takes a newline, `-%}` all whitespace, `+%}` nothing.
    private enum TagEnd { case plain, strips, keeps }
    private enum EndStripping { case none, indentation, all }

    private func nextTag(from start: Int) -> Int? {
        var at = start
        while at + 1 < bytes.count {
            if bytes[at] == UInt8(ascii: "{"), "{%#".utf8.contains(bytes[at + 1]) { return at }
            at += 1
        }
        return nil
    }

    private mutating func appendText(_ range: Range<Int>, strippingStart: Bool, strippingEnd: EndStripping) {
        var text = bytes[range]
        let startLine = line
        line += text.count { $0 == 0x0a }
        if strippingStart { text = text.drop(while: Self.isSpace) }
        switch strippingEnd {
        case .none: break
        case .all: while let last = text.last, Self.isSpace(last) { text.removeLast() }
        case .indentation:
            // Only whitespace between the start of the line and the tag goes.
            let lineStart = text.lastIndex(of: 0x0a).map { $0 + 1 }
            if let from = lineStart
                ?? (range.lowerBound == 0 || bytes[range.lowerBound - 1] == 0x0a ? text.startIndex : nil),
                text[from...].allSatisfy(Self.isSpace)
            {
                text = text[..<from]
            }
        }
        guard !text.isEmpty else { return }
        tokens.append(LocatedToken(token: .text(String(decoding: text, as: UTF8.self)), line: startLine))
    }

    private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0d).contains(byte) }

    /// Returns whether the closing tag strips what follows.
    private mutating func skipComment() throws(TemplateError) -> Bool {
        let start = line
        while index + 1 < bytes.count {
            if bytes[index] == UInt8(ascii: "#"), bytes[index + 1] == UInt8(ascii: "}") {
                index += 2
                return bytes[index - 3] == UInt8(ascii: "-")
            }
            if bytes[index] == 0x0a { line += 1 }
            index += 1
        }
        throw TemplateError(.syntax, "a comment is never closed", line: start)
    }

    /// `{% raw %}…{% endraw %}`: appends what is inside as text. Nil where this is another statement, otherwise
    /// whether the closing tag strips what follows.
    private mutating func rawBlock() throws(TemplateError) -> Bool? {
        guard let (bodyStart, stripsBody) = bareTag("raw", from: index) else { return nil }
        var at = bodyStart
        while at + 1 < bytes.count {
            if bytes[at] == UInt8(ascii: "{"), bytes[at + 1] == UInt8(ascii: "%") {
                let strips = at + 2 < bytes.count && bytes[at + 2] == UInt8(ascii: "-")
                if let (end, stripsNext) = bareTag("endraw", from: at + (strips ? 3 : 2)) {
                    appendText(bodyStart..<at, strippingStart: stripsBody, strippingEnd: strips ? .all : .none)
                    index = end
                    return stripsNext
                }
            }
            at += 1
        }
        throw TemplateError(.syntax, "a raw block is never closed", line: line)
    }

    /// A tag of this name alone: where it ends, and whether it strips what follows.
    private func bareTag(_ name: String, from start: Int) -> (end: Int, strips: Bool)? {
        var at = start
        while at < bytes.count, Self.isSpace(bytes[at]) { at += 1 }
        guard bytes[at...].starts(with: name.utf8) else { return nil }
        at += name.utf8.count
        while at < bytes.count, Self.isSpace(bytes[at]) { at += 1 }
        let strips = at < bytes.count && bytes[at] == UInt8(ascii: "-")
        if strips { at += 1 }
        guard bytes[at...].starts(with: "%}".utf8) else { return nil }
        at += 2
        if !strips, at < bytes.count, bytes[at] == 0x0a { at += 1 }
        return (at, strips)
    }

    /// Tokens up to and including the closing mark.
    private mutating func lexTag(closing: String) throws(TemplateError) -> TagEnd {
        let start = line
        let close = Array(closing.utf8)
        var braces = 0
        while index < bytes.count {
            let byte = bytes[index]
            if Self.isSpace(byte) {
                if byte == 0x0a { line += 1 }
                index += 1
                continue
            }
            if byte == UInt8(ascii: "-") || byte == UInt8(ascii: "+"), bytes[(index + 1)...].starts(with: close) {
                index += 3
                return byte == UInt8(ascii: "-") ? .strips : .keeps
            }
            if braces == 0, bytes[index...].starts(with: close) {
                index += 2
                return .plain
            }
            if byte == UInt8(ascii: "{") { braces += 1 }
            if byte == UInt8(ascii: "}") { braces -= 1 }
            tokens.append(LocatedToken(token: try lexToken(byte), line: line))
        }
        throw TemplateError(.syntax, "a tag is never closed", line: start)
    }

    private mutating func lexToken(_ byte: UInt8) throws(TemplateError) -> TemplateToken {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "_"):
            let start = index
            while index < bytes.count, Self.isNameByte(bytes[index]) { index += 1 }
            return .name(String(decoding: bytes[start..<index], as: UTF8.self))
        case UInt8(ascii: "0")...UInt8(ascii: "9"): return try lexNumber()
        case UInt8(ascii: "'"), UInt8(ascii: "\""): return try lexString(quote: byte)
        default:
            let symbols = ["==", "!=", "<=", ">=", "//", "**"]
            if let double = symbols.first(where: { bytes[index...].starts(with: $0.utf8) }) {
                index += 2
                return .symbol(double)
            }
            guard "+-*/%~<>=.,:|()[]{}".utf8.contains(byte) else {
                throw TemplateError(
                    .syntax, "unexpected character \(String(decoding: [byte], as: UTF8.self))", line: line)
            }
            index += 1
            return .symbol(String(decoding: [byte], as: UTF8.self))
        }
    }

    private static func isNameByte(_ byte: UInt8) -> Bool {
        byte == UInt8(ascii: "_") || (byte | 0x20 >= 0x61 && byte | 0x20 <= 0x7a) || (0x30...0x39).contains(byte)
    }

    private mutating func lexNumber() throws(TemplateError) -> TemplateToken {
        let start = index
        func skipDigits(_ from: Int) -> Int {
            var at = from
            while at < bytes.count, (0x30...0x39).contains(bytes[at]) || bytes[at] == UInt8(ascii: "_") { at += 1 }
            return at
        }
        var end = skipDigits(start)
        var isFloat = false
        if end + 1 < bytes.count, bytes[end] == UInt8(ascii: "."), (0x30...0x39).contains(bytes[end + 1]) {
            isFloat = true
            end = skipDigits(end + 1)
        }
        if end < bytes.count, bytes[end] | 0x20 == UInt8(ascii: "e") {
            var exponent = end + 1
            if exponent < bytes.count, "+-".utf8.contains(bytes[exponent]) { exponent += 1 }
            if exponent < bytes.count, (0x30...0x39).contains(bytes[exponent]) {
                isFloat = true
                end = skipDigits(exponent)
            }
        }
        index = end
        let digits = String(decoding: bytes[start..<end].filter { $0 != UInt8(ascii: "_") }, as: UTF8.self)
        if isFloat, let value = Double(digits) { return .float(value) }
        guard !isFloat, let value = Int(digits) else {
            throw TemplateError(.syntax, "the number \(digits) is out of range", line: line)
        }
        return .integer(value)
    }

    private mutating func lexString(quote: UInt8) throws(TemplateError) -> TemplateToken {
        let start = line
        var result: [UInt8] = []
        index += 1
        while index < bytes.count {
            let byte = bytes[index]
            index += 1
            if byte == quote { return .string(String(decoding: result, as: UTF8.self)) }
            if byte == 0x0a { line += 1 }
            guard byte == UInt8(ascii: "\\"), index < bytes.count else {
                result.append(byte)
                continue
            }
            let escaped = bytes[index]
            index += 1
            switch escaped {
            case UInt8(ascii: "n"): result.append(0x0a)
            case UInt8(ascii: "t"): result.append(0x09)
            case UInt8(ascii: "r"): result.append(0x0d)
            case UInt8(ascii: "b"): result.append(0x08)
            case UInt8(ascii: "f"): result.append(0x0c)
            case UInt8(ascii: "0"): result.append(0)
            case UInt8(ascii: "\\"), UInt8(ascii: "'"), UInt8(ascii: "\""): result.append(escaped)
            case UInt8(ascii: "x"): try appendScalar(digits: 2, to: &result)
            case UInt8(ascii: "u"): try appendScalar(digits: 4, to: &result)
            default: result.append(contentsOf: [UInt8(ascii: "\\"), escaped])
            }
        }
        throw TemplateError(.syntax, "a string is never closed", line: start)
    }

    private mutating func appendScalar(digits: Int, to result: inout [UInt8]) throws(TemplateError) {
        let text = String(decoding: bytes[index..<min(index + digits, bytes.count)], as: UTF8.self)
        guard text.utf8.count == digits, let value = UInt32(text, radix: 16), let scalar = Unicode.Scalar(value) else {
            throw TemplateError(.syntax, "a string has an invalid escape", line: line)
        }
        index += digits
        result.append(contentsOf: String(Character(scalar)).utf8)
    }
}

extension String {
    fileprivate func replacingNewlines() -> String {
        var result = String.UnicodeScalarView()
        var afterReturn = false
        for scalar in unicodeScalars {
            switch scalar {
            case "\r": result.append("\n")
            case "\n": if !afterReturn { result.append("\n") }
            default: result.append(scalar)
            }
            afterReturn = scalar == "\r"
        }
        return String(result)
    }
}
