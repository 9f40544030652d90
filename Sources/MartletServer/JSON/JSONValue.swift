// SPDX-License-Identifier: Apache-2.0

/// A JSON value. Objects keep the order of their keys.
package enum JSONValue: Sendable {
    case null
    case bool(Bool)
    case integer(Int)
    /// A whole number beyond `Int`.
    case unsigned(UInt64)
    case number(Double)
    case string(String)
    case array([JSONValue])
    case object(JSONObject)
    /// A long list, whose elements are made as they are written.
    case elements(count: Int, element: @Sendable (Int) -> JSONValue)

    /// What it is, for error messages.
    package var kind: String {
        switch self {
        case .null: "null"
        case .bool: "a boolean"
        case .integer, .unsigned, .number: "a number"
        case .string: "a string"
        case .array, .elements: "a list"
        case .object: "an object"
        }
    }

    /// A number without a fraction as an integer; other values as they are.
    package var wholeNumber: JSONValue {
        guard case .number(let number) = self, let whole = Int(exactly: number) else { return self }
        return .integer(whole)
    }

    /// The value, for error messages: what is long is named by its kind, or cut.
    package var excerpt: String {
        switch self {
        case .string(let text) where text.utf8.count > 40:
            String(decoding: text.utf8.prefix(40), as: UTF8.self).debugDescription + "…"
        case .array(let elements) where !elements.isEmpty: kind
        case .object(let object) where !object.members.isEmpty: kind
        case .elements: kind
        default: String(decoding: encoded, as: UTF8.self)
        }
    }
}

extension JSONValue: Equatable {
    /// Texts are equal if their bytes are: to look for equivalent characters takes long in hostile ones.
    package static func == (first: JSONValue, second: JSONValue) -> Bool {
        switch (first, second) {
        case (.null, .null): true
        case (.bool(let a), .bool(let b)): a == b
        case (.integer(let a), .integer(let b)): a == b
        case (.unsigned(let a), .unsigned(let b)): a == b
        case (.number(let a), .number(let b)): a == b
        case (.string(let a), .string(let b)): a.utf8.elementsEqual(b.utf8)
        case (.array(let a), .array(let b)): a == b
        case (.object(let a), .object(let b)): a == b
        default: false
        }
    }
}

/// Keys and their values, in order.
package struct JSONObject: Equatable, Sendable {
    package struct Member: Equatable, Sendable {
        var key: String
        var value: JSONValue
    }

    package var members: [Member] = []

    package subscript(key: String) -> JSONValue? { members.first { $0.key.utf8.elementsEqual(key.utf8) }?.value }
}

extension JSONValue: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral,
    ExpressibleByNilLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
    package init(stringLiteral value: String) { self = .string(value) }
    package init(integerLiteral value: Int) { self = .integer(value) }
    package init(booleanLiteral value: Bool) { self = .bool(value) }
    package init(nilLiteral: ()) { self = .null }
    package init(arrayLiteral elements: JSONValue...) { self = .array(elements) }
    package init(dictionaryLiteral elements: (String, JSONValue)...) {
        self = .object(JSONObject(members: elements.map { JSONObject.Member(key: $0.0, value: $0.1) }))
    }

    /// A text, or null for none.
    package init(_ text: String?) { self = text.map { .string($0) } ?? .null }
}
