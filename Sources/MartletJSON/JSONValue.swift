// SPDX-License-Identifier: Apache-2.0

/// A JSON value. Objects keep the order of their keys.
public enum JSONValue: Sendable {
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
    public static func == (first: JSONValue, second: JSONValue) -> Bool {
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
public struct JSONObject: Equatable, Sendable {
    /// A key and its value.
    public struct Member: Equatable, Sendable {
        /// The key, unescaped.
        public var key: String
        /// What stands behind it.
        public var value: JSONValue

        /// A member of both.
        public init(key: String, value: JSONValue) {
            self.key = key
            self.value = value
        }
    }

    /// In the order of the text.
    public var members: [Member]

    /// An object of members, whose keys differ.
    public init(_ members: [Member] = []) { self.members = members }

    /// The value of a key; nil where there is none.
    ///
    /// - Complexity: O(members).
    public subscript(key: String) -> JSONValue? { members.first { $0.key.utf8.elementsEqual(key.utf8) }?.value }
}

extension JSONValue: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral,
    ExpressibleByBooleanLiteral,
    ExpressibleByNilLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
    public init(stringLiteral value: String) { self = .string(value) }
    public init(integerLiteral value: Int) { self = .integer(value) }
    public init(floatLiteral value: Double) { self = .number(value) }
    public init(booleanLiteral value: Bool) { self = .bool(value) }
    public init(nilLiteral: ()) { self = .null }
    public init(arrayLiteral elements: JSONValue...) { self = .array(elements) }
    public init(dictionaryLiteral elements: (String, JSONValue)...) {
        self = .object(JSONObject(elements.map { JSONObject.Member(key: $0.0, value: $0.1) }))
    }

    /// A text, or null for none.
    package init(_ text: String?) { self = text.map { .string($0) } ?? .null }
}
