// SPDX-License-Identifier: Apache-2.0

public import OrderedCollections

/// A value of the template language. Plain data: nothing of the host can be reached through one.
public enum TemplateValue: Sendable {
    /// A name or attribute that isn't there: renders as nothing, but has no attributes.
    case undefined(String)
    case none
    case bool(Bool)
    case integer(Int)
    case float(Double)
    case string(String)
    case list([TemplateValue])
    case dictionary(OrderedDictionary<String, TemplateValue>)
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

    /// As Python's `str` shows it.
    var text: String {
        switch self {
        case .undefined: ""
        case .string(let value): value
        default: representation
        }
    }

    /// As Python's `repr` shows it.
    var representation: String {
        switch self {
        case .undefined: "Undefined"
        case .none: "None"
        case .bool(let value): value ? "True" : "False"
        case .integer(let value): String(value)
        case .float(let value): Self.pythonFloat(value)
        case .string(let value): Self.quoted(value)
        case .list(let items): "[" + items.map(\.representation).joined(separator: ", ") + "]"
        case .dictionary(let items):
            "{" + items.map { Self.quoted($0) + ": " + $1.representation }.joined(separator: ", ") + "}"
        case .namespace: "<Namespace>"
        }
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

    /// As `json.dumps(value, ensure_ascii=False, indent=indent)`, which is what Hugging Face's `tojson` is.
    func json(indent: Int?, level: Int = 0) -> String {
        func wrap(_ open: String, _ items: [String], _ close: String) -> String {
            guard !items.isEmpty else { return open + close }
            guard let indent else { return open + items.joined(separator: ", ") + close }
            let inner = "\n" + String(repeating: " ", count: indent * (level + 1))
            let outer = "\n" + String(repeating: " ", count: indent * level)
            return open + inner + items.joined(separator: "," + inner) + outer + close
        }
        switch self {
        case .undefined, .none, .namespace: return "null"
        case .bool(let value): return value ? "true" : "false"
        case .integer, .float: return text
        case .string(let value): return Self.jsonQuoted(value)
        case .list(let items): return wrap("[", items.map { $0.json(indent: indent, level: level + 1) }, "]")
        case .dictionary(let items):
            let pairs = items.map { Self.jsonQuoted($0) + ": " + $1.json(indent: indent, level: level + 1) }
            return wrap("{", pairs, "}")
        }
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

    /// Python's `==`: numbers by value, other things by kind and value.
    static func equal(_ left: TemplateValue, _ right: TemplateValue) -> Bool {
        if let a = left.number, let b = right.number { return a == b }
        switch (left, right) {
        case (.undefined, .undefined), (.none, .none): return true
        case (.string(let a), .string(let b)): return a.unicodeScalars.elementsEqual(b.unicodeScalars)
        case (.list(let a), .list(let b)):
            return a.count == b.count && zip(a, b).allSatisfy { equal($0, $1) }
        case (.dictionary(let a), .dictionary(let b)):
            return a.count == b.count && a.allSatisfy { key, value in b[key].map { equal(value, $0) } ?? false }
        case (.namespace(let a), .namespace(let b)): return a == b
        default: return false
        }
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
