// SPDX-License-Identifier: Apache-2.0

/// Python's `json.dumps`, which is what Hugging Face's `tojson` calls.
struct TemplateJSON {
    /// Python has no JSON for the value.
    struct NotSerializable: Error { let typeName: String }

    var isASCII = false
    /// Put before each level's items, on lines of their own; nil for one line.
    var indentation: PromptText?
    var itemSeparator = PromptText(", ")
    var keySeparator = PromptText(": ")
    var sortsKeys = false
    /// Bytes that the text may take.
    let limit: Int
    private(set) var text = PromptText()

    init(limit: Int) { self.limit = limit }

    /// Appends a value; false once the limit is passed.
    mutating func write(_ value: TemplateValue, level: Int = 0) throws(NotSerializable) -> Bool {
        switch value {
        case .none: text.append("null")
        case .bool(let value): text.append(value ? "true" : "false")
        case .integer(let value): text.append(String(value))
        case .float(let value):
            text.append(
                value.isNaN
                    ? "NaN" : value.isInfinite ? (value < 0 ? "-Infinity" : "Infinity") : PythonNumber.text(of: value))
        case .string(let value), .markup(let value): writeQuoted(value)
        case .list(let items) where items.kind == .list || items.kind == .tuple:
            guard !items.isEmpty else {
                text.append("[]")
                break
            }
            text.append("[")
            for (index, item) in items.enumerated() {
                begin(index, level + 1)
                guard try write(item, level: level + 1) else { return false }
            }
            end("]", level)
        case .dictionary(let items):
            guard !items.isEmpty else {
                text.append("{}")
                break
            }
            text.append("{")
            let order = Array(items.indices)
            let sorted = sortsKeys ? order.sorted { items[$0].key.precedes(items[$1].key) } : order
            let areMixed =
                sortsKeys && Set(order.map { if case .text = items[$0].key { true } else { false } }).count > 1
            if areMixed { throw NotSerializable(typeName: "a mapping whose keys can't be compared") }
            for (index, position) in sorted.enumerated() {
                begin(index, level + 1)
                writeQuoted(items[position].key.text)
                text.append(keySeparator)
                guard try write(items[position].value, level: level + 1) else { return false }
            }
            end("}", level)
        case .undefined, .namespace, .iterator, .loop, .function, .macro, .list:
            throw NotSerializable(typeName: value.typeName)
        }
        return text.count <= limit
    }

    private mutating func begin(_ index: Int, _ level: Int) {
        if index > 0 { text.append(itemSeparator) }
        newLine(level)
    }

    private mutating func end(_ bracket: String, _ level: Int) {
        newLine(level)
        text.append(bracket)
    }

    private mutating func newLine(_ level: Int) {
        guard let indentation else { return }
        text.append("\n")
        text.append(indentation.repeated(level))
    }

    private mutating func writeQuoted(_ value: PromptText) {
        text.append("\"")
        value.forEachScalar { element in
            if let escaped = Self.escape(element.scalar, isASCII: isASCII) {
                text.append(escaped.utf8, isUser: element.isUser)
            } else {
                text.append(element.scalar, isUser: element.isUser)
            }
        }
        text.append("\"")
    }

    private static func escape(_ scalar: Unicode.Scalar, isASCII: Bool) -> String? {
        switch scalar {
        case "\"": "\\\""
        case "\\": "\\\\"
        case "\n": "\\n"
        case "\r": "\\r"
        case "\t": "\\t"
        case "\u{8}": "\\b"
        case "\u{c}": "\\f"
        case "\0"..<" ": unicodeEscape(UInt16(truncatingIfNeeded: scalar.value))
        case "\u{7f}"... where isASCII:
            scalar == "\u{7f}" ? nil : String(scalar).utf16.map(unicodeEscape).joined()
        default: nil
        }
    }

    private static func unicodeEscape(_ unit: UInt16) -> String {
        let hex = String(unit, radix: 16)
        return "\\u" + String(repeating: "0", count: 4 - hex.utf8.count) + hex
    }
}

extension PromptText {
    /// Python's order of strings, by code points, which is that of their UTF-8.
    func precedes(_ other: PromptText) -> Bool { bytes.lexicographicallyPrecedes(other.bytes) }
}

extension TemplateKey {
    fileprivate func precedes(_ other: TemplateKey) -> Bool {
        if case (.integer(let a), .integer(let b)) = (self, other) { return a < b }
        return text.precedes(other.text)
    }
}
