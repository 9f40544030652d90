// SPDX-License-Identifier: Apache-2.0

import OrderedCollections

/// Methods of strings and mappings.
enum TemplateMethods {
    typealias TextBody =
        @Sendable (TemplateEvaluator, PromptText, BoundArguments) throws(TemplateError) -> TemplateValue
    typealias MappingBody =
        @Sendable (TemplateEvaluator, TemplateMapping, BoundArguments) throws(TemplateError) ->
        TemplateValue

    private static let characters = TemplateSignature(["chars"], takesNames: false)
    private static let affix = TemplateSignature(
        ["prefix"], required: 1, takesNames: false, unsupported: ["start", "end"])
    private static let none = TemplateSignature(takesNames: false)

    static let ofText: [String: (signature: TemplateSignature, body: TextBody)] = [
        "strip": (characters, { (e, text, a) throws(TemplateError) in try e.strip(text, .both, a) }),
        "lstrip": (characters, { (e, text, a) throws(TemplateError) in try e.strip(text, .start, a) }),
        "rstrip": (characters, { (e, text, a) throws(TemplateError) in try e.strip(text, .end, a) }),
        "upper": (none, { (e, text, _) throws(TemplateError) in try e.changeCase(text) { $0.uppercased() } }),
        "lower": (none, { (e, text, _) throws(TemplateError) in try e.changeCase(text) { $0.lowercased() } }),
        "title": (none, { (e, text, _) throws(TemplateError) in try e.changeCase(text) { $0.titleCased() } }),
        "capitalize": (
            none, { (e, text, _) throws(TemplateError) in try e.changeCase(text) { $0.capitalizedFirst() } }
        ),
        "startswith": (
            affix,
            { (e, text, a) throws(TemplateError) in
                try .bool(e.affixes(a).contains { text.hasPrefix($0) })
            }
        ),
        "endswith": (
            affix,
            { (e, text, a) throws(TemplateError) in
                try .bool(e.affixes(a).contains { text.hasSuffix($0) })
            }
        ),
        "replace": (
            TemplateSignature(["old", "new", "count"], required: 2, takesNames: false),
            { (e, text, a) throws(TemplateError) in
                try e.replace(text, a.requiredText(0), a.requiredText(1), limit: a.limit(2))
            }
        ),
        "join": (
            TemplateSignature(["iterable"], required: 1, takesNames: false),
            { (e, text, a) throws(TemplateError) in
                let items = try e.iterate(a[0] ?? .none)
                for item in items {
                    guard case .string = item else { throw e.fault(.type, "join needs strings, not \(item.typeName)") }
                }
                return try e.join(items, by: text)
            }
        ),
        "split": (
            TemplateSignature(["sep", "maxsplit"]),
            { (e, text, a) throws(TemplateError) in try e.split(text, a) }
        ),
        "splitlines": (
            TemplateSignature(unsupported: ["keepends"]),
            { (e, text, _) throws(TemplateError) in
                try e.read(bytes: text.count, by: .properties)
                // Before they are made. A line may end in a character of three bytes.
                try e.spend(text.bytes.count { $0 < 0x20 || $0 >= 0xc2 }, times: 64)
                return try e.list(text.lines())
            }
        ),
    ]

    /// Methods that change the list that a variable or a namespace holds. The sandbox that Jinja2 gives templates hides
    /// them; templates that were written without it use them.
    static let ofList: Set<String> = ["append", "extend", "insert", "pop"]

    static let ofMapping: [String: (signature: TemplateSignature, body: MappingBody)] = [
        "items": (
            none,
            { (e, items, _) throws(TemplateError) in try e.list(e.pairs(of: items), kind: .view("dict_items")) }
        ),
        "keys": (
            none,
            { (e, items, _) throws(TemplateError) in
                try e.list(e.iterate(.dictionary(items)), kind: .view("dict_keys"))
            }
        ),
        "values": (
            none,
            { (e, items, _) throws(TemplateError) in
                try e.read(items: items.count)
                return try e.list(items.map(\.value), kind: .view("dict_values"))
            }
        ),
        "get": (
            TemplateSignature(["key", "default"], required: 1, takesNames: false),
            { (e, items, a) throws(TemplateError) in
                if case .list(let key)? = a[0], key.kind == .list { throw e.fault(.type, "a list can't be a key") }
                if case .dictionary? = a[0] { throw e.fault(.type, "a mapping can't be a key") }
                guard let key = a[0].flatMap({ TemplateKey(finding: $0) }) else { return a[1] ?? .none }
                if case .text(let text) = key { try e.read(bytes: text.count, by: .characters) }
                return items[key] ?? a[1] ?? .none
            }
        ),
    ]

    /// Methods that Python's types have beside those, so that an attribute of such a name is never a mapping's key.
    private static let hidden: Set<String> = ["copy", "fromkeys"]
    /// Methods that change their value. Jinja2's sandbox, as chat templates are rendered in, has none of them: not even a
    /// key of such a name is an attribute.
    private static let changing: Set<String> = ["clear", "pop", "popitem", "setdefault", "update"]

    /// The names of all methods.
    static let names: Set<PromptText> = Set(
        (Array(ofText.keys) + Array(ofMapping.keys) + ofList + ["format"]).map { PromptText($0) })

    /// Whether an attribute of a name is hidden because it would change the value.
    static func changes(_ name: PromptText, _ value: TemplateValue) -> Bool {
        guard case .dictionary = value, name.count <= 64 else { return false }
        return changing.contains(name.string)
    }

    /// Whether the value has a method of a name.
    static func has(_ name: PromptText, _ value: TemplateValue) -> Bool {
        // No method has a longer name, and long texts take long to compare.
        guard name.count <= 64 else { return false }
        return switch value {
        case .string: ofText[name.string] != nil || name == "format"
        case .dictionary: ofMapping[name.string] != nil || hidden.contains(name.string)
        default: false
        }
    }
}

extension TemplateEvaluator {
    func callMethod(
        _ name: PromptText, of value: TemplateValue, _ arguments: EvaluatedArguments
    ) throws(TemplateError) -> TemplateValue {
        let method = name.string
        switch value {
        case .string(let text) where method == "format": return try format(text, arguments)
        case .string(let text):
            guard let (signature, body) = TemplateMethods.ofText[method] else { break }
            return try body(self, text, bind(arguments, signature, method))
        case .dictionary(let items):
            guard let (signature, body) = TemplateMethods.ofMapping[method] else {
                if items[name] != nil, !TemplateMethods.has(name, value), !TemplateMethods.changes(name, value) {
                    throw fault(.type, "\(method) can't be called")
                }
                break
            }
            return try body(self, items, bind(arguments, signature, method))
        case .namespace(let index): return try call(namespaces[index][name] ?? .undefined(name.abbreviated), arguments)
        case .undefined(let base):
            throw fault(.undefined, "\(base) is undefined and has no method \(method)")
        default: break
        }
        throw fault(.unsupported, "the method \(method) of \(value.typeName) is not supported")
    }

    // MARK: Strings

    func strip(_ text: PromptText, _ side: PromptText.Side, _ arguments: BoundArguments) throws(TemplateError)
        -> TemplateValue
    {
        let characters = try arguments.optionalText(0)
        try read(bytes: text.count, by: .properties)
        try read(bytes: characters?.count ?? 0, by: .properties)
        return try string(text.stripped(side, of: characters))
    }

    /// - Parameter change: makes at most three times as many bytes.
    func changeCase(_ text: PromptText, _ change: (PromptText) -> PromptText) throws(TemplateError) -> TemplateValue {
        try read(bytes: text.count, by: .properties)
        try spend(text.count)
        return try string(change(text))
    }

    func affixes(_ arguments: BoundArguments) throws(TemplateError) -> [PromptText] {
        guard case .list(let items)? = arguments[0], items.kind == .tuple else {
            let affix = try arguments.requiredText(0)
            try read(bytes: affix.count)
            return [affix]
        }
        var affixes: [PromptText] = []
        for item in items {
            guard case .string(let text) = item else { throw fault(.type, "an affix must be a string") }
            try read(bytes: text.count)
            affixes.append(text)
        }
        return affixes
    }

    func replace(
        _ text: PromptText, _ old: PromptText, _ new: PromptText, limit: Int
    ) throws(TemplateError) -> TemplateValue {
        try read(bytes: text.count, by: old.isEmpty ? .properties : .characters)
        try read(bytes: old.count, by: .characters)
        // Spent before it is made.
        let times = old.isEmpty ? min(text.scalarCount + 1, limit) : text.occurrences(of: old, limit: limit).count
        try spend(times, times: new.count)
        return try string(text.replacing(old, with: new, limit: limit))
    }

    func split(_ text: PromptText, _ arguments: BoundArguments) throws(TemplateError) -> TemplateValue {
        let separator = try arguments.optionalText(0)
        let limit = try arguments.limit(1)
        try read(bytes: text.count, by: .properties)
        guard let separator else {
            try spend(min(limit, text.bytes.count { $0 <= 0x20 || $0 >= 0xc2 }), times: 64)
            return try list(text.words(limit: limit))
        }
        guard !separator.isEmpty else { throw fault(.type, "empty separator") }
        try spend(text.occurrences(of: separator, limit: limit).count, times: 64)
        return try list(text.pieces(separatedBy: separator, limit: limit))
    }
}
