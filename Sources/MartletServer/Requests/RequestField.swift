// SPDX-License-Identifier: Apache-2.0

import MartletJSON

/// Values that a field takes, for people.
enum FieldKind: String, Sendable {
    case string, number, integer, boolean, object, list
    case stringOrList = "string or list"
    case prompt = "string, list of strings, of token ids, or of lists of token ids"
}

/// One field of a request's body: its name, what it means, and how it is read.
///
/// Requests are tables of these, from which the documentation is made too.
package struct RequestField<Target>: Sendable {
    package let name: String
    let kind: FieldKind
    let help: String
    let read: @Sendable (FieldValue, inout Target) throws(ServerError) -> Void

    init(
        _ name: String, _ kind: FieldKind, _ help: String,
        read: @escaping @Sendable (FieldValue, inout Target) throws(ServerError) -> Void
    ) {
        self.name = name
        self.kind = kind
        self.help = help
        self.read = read
    }

    /// The same field of something that holds the target.
    func on<Whole>(_ part: any WritableKeyPath<Whole, Target> & Sendable) -> RequestField<Whole> {
        RequestField<Whole>(name, kind, help) { (value, whole) throws(ServerError) in
            try read(value, &whole[keyPath: part])
        }
    }
}

extension RequestField {
    /// Reads a body's fields into a target. Fields that are null count as absent; those that mean nothing here are refused
    /// by name.
    ///
    /// - Parameters:
    ///   - required: a field that must be there.
    ///   - neutral: fields of other servers, each with the values that ask for nothing.
    static func read(
        _ body: JSONValue, into target: inout Target, by fields: [String: RequestField], required: String? = nil,
        neutral: [String: [JSONValue]] = UnsupportedFields.neutralValues
    ) throws(ServerError) {
        guard case .object(let object) = body else {
            throw ServerError(.badRequest, "the body must be a JSON object, not \(body.kind)")
        }
        for member in object.members where member.value != .null {
            guard let field = fields[member.key] else {
                try UnsupportedFields.check(member.key, member.value, in: object, neutral: neutral, known: fields.keys)
                continue
            }
            try field.read(FieldValue(name: member.key, json: member.value), &target)
        }
        if let required, object[required] ?? .null == .null {
            throw ServerError.invalid(required, "\(required) is missing")
        }
    }
}

/// A field's value, to be taken for what it should be.
struct FieldValue: Sendable {
    let name: String
    let json: JSONValue
    /// Whether it is one of a list.
    var isElement = false

    func fault(_ expectation: String) -> ServerError {
        .invalid(name, "\(name) must \(isElement ? "hold" : "be") \(expectation), not \(json.kind)")
    }

    /// - Parameter element: what the list holds that it mustn't.
    func fault(_ expectation: String, holding element: JSONValue) -> ServerError {
        .invalid(name, "\(name) must be \(expectation), not a list that holds \(element.kind)")
    }

    func integer() throws(ServerError) -> Int {
        switch json {
        case .integer(let value): return value
        // What some clients make of whole numbers.
        case .number(let value):
            if let whole = Int(exactly: value) { return whole }
            throw .invalid(name, "\(name) must be a whole number of at most 63 bits")
        case .unsigned: throw .invalid(name, "\(name) must be a whole number of at most 63 bits")
        default: throw fault("an integer")
        }
    }

    /// 64 bits of either sign; nil for -1, which asks for a random one.
    func seed() throws(ServerError) -> UInt64? {
        if case .unsigned(let value) = json { return value }
        if json == .integer(-1) { return nil }
        return UInt64(bitPattern: Int64(try integer()))
    }

    /// A name: short, so that it can be compared with others.
    func name(ofAtMost bytes: Int = 1024) throws(ServerError) -> String {
        let name = try string()
        guard name.utf8.count <= bytes else { throw .invalid(self.name, "\(self.name) has more than \(bytes) bytes") }
        return name
    }

    func number() throws(ServerError) -> Float {
        let value: Double
        switch json {
        case .integer(let integer): value = Double(integer)
        case .unsigned(let integer): value = Double(integer)
        case .number(let number): value = number
        default: throw fault("a number")
        }
        guard Float(value).isFinite else { throw .invalid(name, "\(name) is out of range") }
        return Float(value)
    }

    func bool() throws(ServerError) -> Bool {
        guard case .bool(let value) = json else { throw fault("true or false") }
        return value
    }

    func string() throws(ServerError) -> String {
        guard case .string(let value) = json else { throw fault("a string") }
        return value
    }

    func list() throws(ServerError) -> [FieldValue] {
        guard case .array(let elements) = json else { throw fault("a list") }
        return elements.map { FieldValue(name: name, json: $0, isElement: true) }
    }

    func object() throws(ServerError) -> JSONObject {
        guard case .object(let object) = json else { throw fault("an object") }
        return object
    }

    /// A string, or a list of them.
    func strings() throws(ServerError) -> [String] {
        if case .string(let value) = json { return [value] }
        guard case .array = json else { throw fault("a string or a list of strings") }
        return try list().map { (value) throws(ServerError) in try value.string() }
    }

    func tokens() throws(ServerError) -> [Int32] {
        try list().map { (value) throws(ServerError) in
            guard let token = Int32(exactly: try value.integer()) else {
                throw ServerError.invalid(name, "\(name) holds ids outside of the vocabulary")
            }
            return token
        }
    }
}
