// SPDX-License-Identifier: Apache-2.0

/// Why bytes are no JSON, or none that is accepted here.
public struct JSONError: Error, Equatable, CustomStringConvertible {
    /// What is wrong.
    public let message: String
    /// Bytes before the fault.
    public let offset: Int

    /// The message and where.
    public var description: String { "\(message) at byte \(offset)" }
}

/// Reads JSON (RFC 8259) from untrusted bytes, in one pass.
///
/// Stricter than the standard asks for: UTF-8 without a byte order mark, no key twice in an object, no lone surrogates,
/// no numbers beyond a `Double`'s range. Values may nest so deep as the limit says, and no deeper.
///
/// - Complexity: O(n) in the bytes, and O(n log n) in an object's keys.
package struct JSONParser {
    private let bytes: [UInt8]
    private let maximumDepth: Int
    /// Bytes of an object's key.
    private static let longestKey = 1024
    private var offset = 0

    package static func parse(_ bytes: [UInt8], maximumDepth: Int) throws(JSONError) -> JSONValue {
        // Once, so that strings need not be checked one by one.
        guard String(validating: bytes, as: UTF8.self) != nil else {
            throw JSONError(message: "the text is not UTF-8", offset: validLength(of: bytes))
        }
        var parser = JSONParser(bytes: bytes, maximumDepth: maximumDepth)
        let value = try parser.value(depth: 0)
        parser.skipSpace()
        guard parser.offset == bytes.count else { throw parser.fault("there is something behind the value") }
        return value
    }

    /// Bytes before the first that is no UTF-8.
    private static func validLength(of bytes: [UInt8]) -> Int {
        var (decoder, iterator, length) = (Unicode.UTF8.ForwardParser(), bytes.makeIterator(), 0)
        while case .valid(let scalar) = decoder.parseScalar(from: &iterator) { length += scalar.count }
        return length
    }

    private init(bytes: [UInt8], maximumDepth: Int) {
        self.bytes = bytes
        self.maximumDepth = maximumDepth
    }

    private func fault(_ message: String) -> JSONError { JSONError(message: message, offset: offset) }

    private var current: UInt8? { offset < bytes.count ? bytes[offset] : nil }

    private mutating func skipSpace() {
        while let byte = current, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { offset += 1 }
    }

    private mutating func take(_ byte: Unicode.Scalar) -> Bool {
        guard current == UInt8(ascii: byte) else { return false }
        offset += 1
        return true
    }

    private mutating func value(depth: Int) throws(JSONError) -> JSONValue {
        guard depth <= maximumDepth else { throw fault("values nest deeper than \(maximumDepth)") }
        skipSpace()
        switch current {
        case nil: throw fault("the text ends where a value should be")
        case UInt8(ascii: "{"): return try object(depth: depth)
        case UInt8(ascii: "["): return try array(depth: depth)
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try word("true", .bool(true))
        case UInt8(ascii: "f"): return try word("false", .bool(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        default: return try number()
        }
    }

    private mutating func word(_ word: StaticString, _ value: JSONValue) throws(JSONError) -> JSONValue {
        let end = offset + word.utf8CodeUnitCount
        let matches = word.withUTF8Buffer { end <= bytes.count && bytes[offset..<end].elementsEqual($0) }
        guard matches else { throw fault("no value begins like this") }
        offset = end
        return value
    }

    private mutating func array(depth: Int) throws(JSONError) -> JSONValue {
        offset += 1
        var elements: [JSONValue] = []
        skipSpace()
        if take("]") { return .array([]) }
        while true {
            elements.append(try value(depth: depth + 1))
            skipSpace()
            if take("]") { return .array(elements) }
            guard take(",") else { throw fault(", or ] must follow a list's element") }
        }
    }

    private mutating func object(depth: Int) throws(JSONError) -> JSONValue {
        offset += 1
        var (object, keys) = (JSONObject(), Set<[UInt8]>())
        skipSpace()
        if take("}") { return .object(object) }
        while true {
            skipSpace()
            guard current == UInt8(ascii: "\"") else { throw fault("an object's key must be a string") }
            let key = try string()
            // Keys are hashed, which takes time by the square of a run of combining marks.
            guard key.utf8.count <= Self.longestKey else { throw fault("a key has more than \(Self.longestKey) bytes") }
            // By their bytes: keys of equivalent characters are two, as `tokenizer.json` files have them.
            guard keys.insert(Array(key.utf8)).inserted else {
                throw fault("the key \(key.debugDescription) is there twice")
            }
            skipSpace()
            guard take(":") else { throw fault(": must follow a key") }
            object.members.append(JSONObject.Member(key: key, value: try value(depth: depth + 1)))
            skipSpace()
            if take("}") { return .object(object) }
            guard take(",") else { throw fault(", or } must follow an object's value") }
        }
    }

    private mutating func string() throws(JSONError) -> String {
        offset += 1
        var text: [UInt8] = []
        while true {
            let start = offset
            while let byte = current, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\"), byte >= 0x20 {
                offset += 1
            }
            text += bytes[start..<offset]
            switch current {
            case nil: throw fault("the text ends inside of a string")
            case UInt8(ascii: "\""):
                offset += 1
                return String(decoding: text, as: UTF8.self)
            case UInt8(ascii: "\\"):
                offset += 1
                try escape(into: &text)
            default: throw fault("a string holds a control character")
            }
        }
    }

    private mutating func escape(into text: inout [UInt8]) throws(JSONError) {
        guard let byte = current else { throw fault("the text ends inside of a string") }
        offset += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(byte)
        case UInt8(ascii: "b"): text.append(0x08)
        case UInt8(ascii: "f"): text.append(0x0C)
        case UInt8(ascii: "n"): text.append(0x0A)
        case UInt8(ascii: "r"): text.append(0x0D)
        case UInt8(ascii: "t"): text.append(0x09)
        case UInt8(ascii: "u"):
            let first = try codeUnit()
            var code = UInt32(first)
            if UTF16.isLeadSurrogate(first) {
                guard take("\\"), take("u"), case let second = try codeUnit(), UTF16.isTrailSurrogate(second) else {
                    throw fault("half of a surrogate pair stands alone")
                }
                code = 0x10000 + (UInt32(first) - 0xD800) << 10 + (UInt32(second) - 0xDC00)
            }
            guard let scalar = Unicode.Scalar(code) else { throw fault("half of a surrogate pair stands alone") }
            text += UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter
        default: throw fault("a string holds an unknown escape")
        }
    }

    private mutating func codeUnit() throws(JSONError) -> UInt16 {
        var unit: UInt16 = 0
        for _ in 0..<4 {
            guard let digit = current.flatMap({ Character(Unicode.Scalar($0)).hexDigitValue }) else {
                throw fault("\\u takes four hexadecimal digits")
            }
            unit = unit << 4 | UInt16(digit)
            offset += 1
        }
        return unit
    }

    private mutating func number() throws(JSONError) -> JSONValue {
        let start = offset
        var isInteger = true
        _ = take("-")
        if !take("0"), !takeDigits() { throw fault("this is no value") }
        if take(".") {
            isInteger = false
            guard takeDigits() else { throw fault("a point is followed by digits") }
        }
        if take("e") || take("E") {
            isInteger = false
            if !take("+") { _ = take("-") }
            guard takeDigits() else { throw fault("an exponent has digits") }
        }
        let text = String(decoding: bytes[start..<offset], as: UTF8.self)
        if isInteger, let integer = Int(text) { return .integer(integer) }
        if isInteger, let integer = UInt64(text) { return .unsigned(integer) }
        guard let number = Double(text), number.isFinite else { throw fault("the number is out of range") }
        return .number(number)
    }

    private mutating func takeDigits() -> Bool {
        let start = offset
        while let byte = current, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) { offset += 1 }
        return offset > start
    }
}
