// SPDX-License-Identifier: Apache-2.0

/// A value of the template language. Plain data: nothing of the host can be reached through one.
public enum TemplateValue: Sendable {
    /// A name or attribute that isn't there: renders as nothing, but has no attributes.
    case undefined(String)
    case none
    case bool(Bool)
    case integer(Int)
    case float(Double)
    case string(String)
    case list(TemplateList)
    case dictionary(TemplateMapping)
    /// The one mutable object, `namespace()`: an index into the evaluator's table.
    case namespace(Int)

    var isTrue: Bool {
        switch self {
        case .undefined, .none: false
        case .bool(let value): value
        case .integer(let value): value != 0
        case .float(let value): value != 0
        case .string(let value): !value.isEmpty
        case .list(let value): !value.isEmpty
        case .dictionary(let value): !value.isEmpty
        case .namespace: true
        }
    }

    /// For error messages.
    var typeName: String {
        switch self {
        case .undefined(let name): "undefined value \(name)"
        case .none: "none"
        case .bool: "a boolean"
        case .integer: "an integer"
        case .float: "a float"
        case .string: "a string"
        case .list: "a list"
        case .dictionary: "a mapping"
        case .namespace: "a namespace"
        }
    }

    /// How deep lists and mappings nest in it.
    var depth: Int {
        switch self {
        case .list(let items): items.depth
        case .dictionary(let items): items.depth
        default: 0
        }
    }

    /// As Python's `str` shows it; nil where that takes more than `limit` bytes.
    ///
    /// The limit matters: a value whose parts are shared can be small and its text astronomically long.
    func text(limit: Int) -> String? {
        switch self {
        case .undefined: return ""
        case .string(let value): return value.utf8.count <= limit ? value : nil
        default:
            var result = ""
            return represent(into: &result, limit: limit) ? result : nil
        }
    }

    /// Appends what Python's `repr` shows; false once the limit is passed.
    private func represent(into result: inout String, limit: Int) -> Bool {
        switch self {
        case .undefined: result += "Undefined"
        case .none: result += "None"
        case .bool(let value): result += value ? "True" : "False"
        case .integer(let value): result += String(value)
        case .float(let value): result += Self.pythonFloat(value)
        case .string(let value): result += Self.quoted(value)
        case .namespace: result += "<Namespace>"
        case .list(let items):
            result += "["
            for (index, item) in items.enumerated() {
                if index > 0 { result += ", " }
                guard item.represent(into: &result, limit: limit) else { return false }
            }
            result += "]"
        case .dictionary(let items):
            result += "{"
            for (index, item) in items.enumerated() {
                result += (index > 0 ? ", " : "") + Self.quoted(item.key) + ": "
                guard item.value.represent(into: &result, limit: limit) else { return false }
            }
            result += "}"
        }
        return result.utf8.count <= limit
    }

    private static func pythonFloat(_ value: Double) -> String {
        value.isNaN ? "nan" : value.isInfinite ? (value < 0 ? "-inf" : "inf") : "\(value)"
    }

    private static func quoted(_ string: String) -> String {
        let quote: Unicode.Scalar = string.contains("'") && !string.contains("\"") ? "\"" : "'"
        var result = String.UnicodeScalarView([quote])
        for scalar in string.unicodeScalars {
            switch scalar {
            case "\\": result.append(contentsOf: "\\\\".unicodeScalars)
            case "\n": result.append(contentsOf: "\\n".unicodeScalars)
            case "\r": result.append(contentsOf: "\\r".unicodeScalars)
            case "\t": result.append(contentsOf: "\\t".unicodeScalars)
            case quote: result.append(contentsOf: ["\\", quote])
            default: result.append(scalar)
            }
        }
        result.append(quote)
        return String(result)
    }

    /// As `json.dumps(value, ensure_ascii=False, indent=indent)`, which is what Hugging Face's `tojson` is; nil where
    /// that takes more than `limit` bytes.
    func json(indent: Int?, limit: Int) -> String? {
        var result = ""
        return writeJSON(into: &result, indent: indent, level: 0, limit: limit) ? result : nil
    }

    private func writeJSON(into result: inout String, indent: Int?, level: Int, limit: Int) -> Bool {
        func newLine(_ level: Int) -> String { indent.map { "\n" + String(repeating: " ", count: $0 * level) } ?? "" }
        func open(_ bracket: String, _ index: Int) {
            result += index == 0 ? bracket : indent == nil ? ", " : ","
            result += newLine(level + 1)
        }
        func close(_ brackets: String, isEmpty: Bool) {
            result += isEmpty ? brackets : newLine(level) + String(brackets.suffix(1))
        }
        switch self {
        case .undefined, .none, .namespace: result += "null"
        case .bool(let value): result += value ? "true" : "false"
        case .integer(let value): result += String(value)
        case .float(let value): result += Self.pythonFloat(value)
        case .string(let value): result += Self.jsonQuoted(value)
        case .list(let items):
            for (index, item) in items.enumerated() {
                open("[", index)
                guard item.writeJSON(into: &result, indent: indent, level: level + 1, limit: limit) else {
                    return false
                }
            }
            close("[]", isEmpty: items.isEmpty)
        case .dictionary(let items):
            for (index, item) in items.enumerated() {
                open("{", index)
                result += Self.jsonQuoted(item.key) + ": "
                guard item.value.writeJSON(into: &result, indent: indent, level: level + 1, limit: limit) else {
                    return false
                }
            }
            close("{}", isEmpty: items.isEmpty)
        }
        return result.utf8.count <= limit
    }

    private static func jsonQuoted(_ string: String) -> String {
        var result = String.UnicodeScalarView("\"".unicodeScalars)
        for scalar in string.unicodeScalars {
            switch scalar {
            case "\"": result.append(contentsOf: "\\\"".unicodeScalars)
            case "\\": result.append(contentsOf: "\\\\".unicodeScalars)
            case "\n": result.append(contentsOf: "\\n".unicodeScalars)
            case "\r": result.append(contentsOf: "\\r".unicodeScalars)
            case "\t": result.append(contentsOf: "\\t".unicodeScalars)
            case "\u{8}": result.append(contentsOf: "\\b".unicodeScalars)
            case "\u{c}": result.append(contentsOf: "\\f".unicodeScalars)
            case "\0"..<" ":
                let hex = String(scalar.value, radix: 16)
                result.append(
                    contentsOf: ("\\u" + String(repeating: "0", count: 4 - hex.utf8.count) + hex).unicodeScalars)
            default: result.append(scalar)
            }
        }
        result.append("\"")
        return String(result)
    }

    /// Booleans count as 0 and 1, as in Python.
    var number: Double? {
        switch self {
        case .bool(let value): value ? 1 : 0
        case .integer(let value): Double(value)
        case .float(let value): value
        default: nil
        }
    }

    var integer: Int? {
        switch self {
        case .bool(let value): value ? 1 : 0
        case .integer(let value): value
        default: nil
        }
    }
}
