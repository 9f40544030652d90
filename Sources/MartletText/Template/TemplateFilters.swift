// SPDX-License-Identifier: Apache-2.0

import MartletJSON

/// Jinja's filters, those that chat templates use.
enum TemplateFilters {
    typealias Body = @Sendable (TemplateEvaluator, TemplateValue, BoundArguments) throws(TemplateError) -> TemplateValue

    struct Filter: Sendable {
        let signature: TemplateSignature
        let body: Body

        init(_ signature: TemplateSignature = TemplateSignature(), _ body: @escaping Body) {
            self.signature = signature
            self.body = body
        }
    }

    /// Those that take arguments for another filter or a test are in `TemplateEvaluator.applyFilter`: here only their
    /// names.
    static let all: [String: Filter?] = plain.merging(ordering) { $1 }.mapValues { .some($0) }.merging(
        ["map", "select", "reject", "selectattr", "rejectattr"].map { ($0, nil) }
    ) { $1 }

    private static func changesCase(_ change: @escaping @Sendable (PromptText) -> PromptText) -> Filter {
        Filter { (e, value, _) throws(TemplateError) in try e.changeCase(e.text(of: value), change) }
    }

    private static let string = Filter { (e, value, _) throws(TemplateError) in try e.string(e.text(of: value)) }
    private static let length = Filter { (e, value, _) throws(TemplateError) in .integer(try e.length(of: value)) }
    private static let defaultValue = Filter(TemplateSignature(["default_value", "boolean"])) {
        (_, value, a) throws(TemplateError) in
        let replacement = a[0] ?? ""
        if case .undefined = value { return replacement }
        return a.isTrue(1) && !value.isTrue ? replacement : value
    }

    private static let plain: [String: Filter] = [
        "trim": Filter(TemplateSignature(["chars"])) { (e, value, a) throws(TemplateError) in
            try e.strip(e.text(of: value), .both, a)
        },
        "upper": changesCase { $0.uppercased() },
        "lower": changesCase { $0.lowercased() },
        "capitalize": changesCase { $0.capitalizedFirst() },
        "title": changesCase { $0.titleCasedWords() },
        "string": string,
        "safe": Filter { (e, value, _) throws(TemplateError) in .markup(try e.text(of: value)) }, "length": length,
        "count": length, "default": defaultValue, "d": defaultValue,
        "tojson": Filter(TemplateSignature(["ensure_ascii", "indent", "separators", "sort_keys"])) {
            (e, value, a) throws(TemplateError) in try e.toJSON(value, a)
        },
        "join": Filter(TemplateSignature(["d", "attribute"])) { (e, value, a) throws(TemplateError) in
            var items = try e.iterate(value)
            if let attribute = try e.attributePath(a[1]) { items = try e.attributes(attribute, of: items) }
            return try e.join(items, by: e.text(of: a[0] ?? ""))
        },
        "replace": Filter(TemplateSignature(["old", "new", "count"], required: 2)) {
            (e, value, a) throws(TemplateError) in
            let count: Int
            if case .none? = a[2] { count = .max } else { count = try a.limit(2) }
            let (old, new) = (try e.text(of: a[0] ?? .none), try e.text(of: a[1] ?? .none))
            return try e.replace(e.text(of: value), old, new, limit: count)
        },
        "first": Filter { (e, value, _) throws(TemplateError) in try e.first(of: value) },
        "last": Filter { (e, value, _) throws(TemplateError) in try e.last(of: value) },
        "list": Filter { (e, value, _) throws(TemplateError) in try e.list(e.iterate(value)) },
        "reverse": Filter { (e, value, _) throws(TemplateError) in
            if case .string(let text) = value {
                try e.read(bytes: text.count, by: .properties)
                return try e.string(text.reversed())
            }
            let items = try e.iterate(value)
            if case .iterator = value { return try e.list(items.reversed()) }
            return try e.iterator(items.reversed())
        },
        "items": Filter { (e, value, _) throws(TemplateError) in
            switch value {
            case .undefined: return try e.iterator([])
            case .dictionary(let items): return try e.iterator(e.pairs(of: items))
            default: throw e.fault(.type, "items needs a mapping, not \(value.typeName)")
            }
        },
        "int": Filter(TemplateSignature(["default", "base"])) { (e, value, a) throws(TemplateError) in
            try e.toInteger(value, a)
        },
        "float": Filter(TemplateSignature(["default"])) { (e, value, a) throws(TemplateError) in
            if case .undefined(let name) = value { throw e.fault(.undefined, "\(name) is undefined and no number") }
            if let number = value.number { return .float(number) }
            guard case .string(let text) = value else { return a[0] ?? .float(0) }
            try e.read(bytes: text.count, by: .properties)
            return PythonNumber.float(text).map { .float($0) } ?? a[0] ?? .float(0)
        },
        "abs": Filter { (e, value, _) throws(TemplateError) in
            if case .float(let number) = value { return .float(abs(number)) }
            guard let number = value.integer else { throw e.fault(.type, "\(value.typeName) has no absolute value") }
            return number < 0 ? try e.negated(.integer(number)) : .integer(number)
        },
        "from_json": Filter { (e, value, _) throws(TemplateError) in try e.fromJSON(value) },
        "indent": Filter(TemplateSignature(["width", "first", "blank"])) { (e, value, a) throws(TemplateError) in
            try e.indent(value, a)
        },
    ]
}

extension TemplateEvaluator {
    func applyFilter(
        _ name: String, to value: TemplateValue, _ arguments: EvaluatedArguments
    ) throws(TemplateError) -> TemplateValue {
        guard name.utf8.count <= 64, let entry = TemplateFilters.all[name] else {
            throw fault(.unsupported, "the filter \(PromptText(name).abbreviated) is not supported")
        }
        if let filter = entry { return try filter.body(self, value, bind(arguments, filter.signature, name)) }
        return try name == "map" ? map(value, arguments) : select(name, value, arguments)
    }

    func length(of value: TemplateValue) throws(TemplateError) -> Int {
        switch value {
        case .string(let text):
            try read(bytes: text.count)
            return text.scalarCount
        case .list(let items): return items.count
        case .dictionary(let items): return items.count
        case .undefined: return 0
        case .loop(let loop): return loop.count
        default: throw fault(.type, "\(value.typeName) has no length")
        }
    }

    fileprivate func first(of value: TemplateValue) throws(TemplateError) -> TemplateValue {
        let found: TemplateValue?
        switch value {
        case .list(let items): found = items.first
        case .dictionary(let items): found = items.first?.key.value
        case .iterator(let index): found = try next(of: index)
        case .string(let text): found = text.isEmpty ? nil : .string(text.slice(0..<text.lengthOfScalar(at: 0)))
        case .undefined: found = nil
        default: throw fault(.type, "\(value.typeName) has no first item")
        }
        return found ?? .undefined("the first of nothing")
    }

    fileprivate func last(of value: TemplateValue) throws(TemplateError) -> TemplateValue {
        let found: TemplateValue?
        switch value {
        case .list(let items): found = items.last
        case .dictionary(let items): found = items.isEmpty ? nil : items[items.count - 1].key.value
        case .string(let text):
            found = text.bytes.lastIndex { $0 & 0xc0 != 0x80 }.map { .string(text.slice($0..<text.count)) }
        case .undefined: found = nil
        default: throw fault(.type, "\(value.typeName) has no last item")
        }
        return found ?? .undefined("the last of nothing")
    }

    fileprivate func toInteger(_ value: TemplateValue, _ arguments: BoundArguments) throws(TemplateError)
        -> TemplateValue
    {
        let otherwise = arguments[0] ?? .integer(0)
        func truncated(_ number: Double) throws(TemplateError) -> TemplateValue {
            guard let integer = Int(exactly: number.rounded(.towardZero)) else {
                throw fault(.type, "integer out of range")
            }
            return .integer(integer)
        }
        switch value {
        case .undefined(let name): throw fault(.undefined, "\(name) is undefined and no number")
        case .float(let number): return number.isNaN ? otherwise : try truncated(number)
        case .string(let text):
            let base = try arguments.integer(1) ?? 10
            try read(bytes: text.count, by: .properties)
            // As in Jinja, another base reads no number.
            if base == 0 || (2...36).contains(base), let integer = PythonNumber.integer(text, base: base) {
                return .integer(integer)
            }
            guard let number = PythonNumber.float(text), number.isFinite else { return otherwise }
            return try truncated(number)
        default: return value.integer.map { .integer($0) } ?? otherwise
        }
    }

    fileprivate func toJSON(_ value: TemplateValue, _ arguments: BoundArguments) throws(TemplateError) -> TemplateValue
    {
        var indentation: PromptText?
        switch arguments[1] {
        case nil, .some(.none): break
        case .string(let text)?: indentation = text
        case let width?:
            guard let width = width.integer else { throw fault(.type, "tojson: indent must be an integer or a string") }
            guard width <= 64 else { throw fault(.unsupported, "tojson: an indent of more than 64 is not supported") }
            indentation = PromptText(String(repeating: " ", count: max(0, width)))
        }
        guard indentation.map({ $0.count <= 64 }) ?? true else {
            throw fault(.unsupported, "tojson: an indent of more than 64 bytes is not supported")
        }
        var separators: [PromptText] = []
        if let given = arguments[2], case .none = given {
        } else if let given = arguments[2] {
            for item in try iterate(given) {
                guard case .string(let text) = item else { throw fault(.type, "tojson: separators must be strings") }
                separators.append(text)
            }
            guard separators.count == 2 else { throw fault(.type, "tojson: there must be two separators") }
            // Each item repeats them.
            guard separators.allSatisfy({ $0.count <= 64 }) else {
                throw fault(.unsupported, "tojson: separators of more than 64 bytes are not supported")
            }
        }
        // Python's json refuses a generator; templates that were written for other interpreters hand one over.
        var value = value
        if case .iterator = value { value = try list(iterate(value)) }
        return try string(
            json(of: value) { writer in
                writer.isASCII = arguments.isTrue(0)
                writer.indentation = indentation
                if indentation != nil { writer.itemSeparator = "," }
                if separators.count == 2 {
                    (writer.itemSeparator, writer.keySeparator) = (separators[0], separators[1])
                }
                writer.sortsKeys = arguments.isTrue(3)
            })
    }

    /// What JSON text says. Not Jinja's: templates use it where arguments of calls come as text.
    fileprivate func fromJSON(_ value: TemplateValue) throws(TemplateError) -> TemplateValue {
        guard case .string(let text) = value else {
            throw fault(.type, "from_json needs a string, not \(value.typeName)")
        }
        try read(bytes: text.count, by: .properties)
        try spend(text.count, times: 32)
        let parsed: JSONValue
        do throws(JSONError) { parsed = try JSONParser.parse(text.bytes, maximumDepth: budget.depth) } catch {
            throw fault(.type, "from_json: \(error)")
        }
        return try admitted(TemplateValue(user: parsed))
    }

    fileprivate func indent(_ value: TemplateValue, _ arguments: BoundArguments) throws(TemplateError) -> TemplateValue
    {
        guard case .string(let text) = value else { throw fault(.type, "indent needs a string, not \(value.typeName)") }
        let indentation: PromptText
        if case .string(let text)? = arguments[0] {
            indentation = text
        } else {
            let width = max(0, try arguments.integer(0) ?? 4)
            try spend(width)
            indentation = PromptText(String(repeating: " ", count: width))
        }
        try read(bytes: text.count, by: .properties)
        try spend(text.bytes.count { $0 < 0x20 || $0 >= 0xc2 }, times: 64)
        var lines = text.lines()
        // Jinja adds a newline before it splits, so a text that ends in one has an empty last line.
        let endsLine = text.string.unicodeScalars.last?.isPythonLineEnd ?? true
        if endsLine { lines.append(PromptText()) }
        try spend(lines.count, times: indentation.count)
        try spend(lines.count, times: 32)
        let (indentsFirst, indentsBlank) = (arguments.isTrue(1), arguments.isTrue(2))
        let indented = lines.enumerated().map { index, line in
            let isIndented = index == 0 ? indentsFirst : !line.isEmpty || indentsBlank
            return isIndented ? indentation + line : line
        }
        return try string(PromptText("\n").joining(indented))
    }

    // MARK: Of items

    /// The steps of an attribute such as `a.b.0`; nil where none is given.
    func attributePath(_ value: TemplateValue?) throws(TemplateError) -> [TemplateValue]? {
        switch value {
        case nil, .some(.none): return nil
        case .integer(let index)?: return [.integer(index)]
        case .string(let path)?:
            guard path.count <= 256 else {
                throw fault(.unsupported, "an attribute of more than 256 bytes is not supported")
            }
            return path.pieces(separatedBy: ".").map { piece in
                let isIndex = !piece.isEmpty && piece.bytes.allSatisfy { (0x30...0x39).contains($0) }
                return isIndex ? Int(piece.string).map { .integer($0) } ?? .string(piece) : .string(piece)
            }
        case let other?: throw fault(.type, "an attribute must be a string or an integer, not \(other.typeName)")
        }
    }

    func attribute(_ path: [TemplateValue], of item: TemplateValue) throws(TemplateError) -> TemplateValue {
        var value = item
        for step in path { value = try subscripted(value, by: step) }
        return value
    }

    fileprivate func attributes(
        _ path: [TemplateValue], of items: [TemplateValue]
    ) throws(TemplateError) -> [TemplateValue] {
        var results: [TemplateValue] = []
        for item in items {
            try step()
            results.append(try attribute(path, of: item))
        }
        return results
    }

    /// The items of a value that is true; as in Jinja, another one has none.
    private func itemsIfTrue(_ value: TemplateValue) throws(TemplateError) -> [TemplateValue] {
        value.isTrue ? try iterate(value) : []
    }

    private func map(_ value: TemplateValue, _ arguments: EvaluatedArguments) throws(TemplateError) -> TemplateValue {
        if arguments.positional.isEmpty, arguments.named.contains(where: { $0.name == "attribute" }) {
            let signature = TemplateSignature(["attribute", "default"], required: 1)
            let bound = try bind(arguments, signature, "map")
            guard let path = try attributePath(bound[0]) else { throw fault(.type, "map: attribute can't be none") }
            var replacement = bound[1]
            if case .none? = replacement { replacement = nil }
            return try iterator { (add) throws(TemplateError) in
                for item in try itemsIfTrue(value) {
                    try step()
                    let found = try attribute(path, of: item)
                    if let replacement, case .undefined = found { add(replacement) } else { add(found) }
                }
            }
        }
        guard case .string(let name)? = arguments.positional.first else {
            throw fault(.type, "map needs the name of a filter, or an attribute")
        }
        let filter = name.string
        // A mapped map would recurse as often as it has arguments.
        guard name.count <= 64, let known = TemplateFilters.all[filter], known != nil else {
            throw fault(.unsupported, "mapping the filter \(name.abbreviated) is not supported")
        }
        let rest = arguments.dropping(1)
        return try iterator { (add) throws(TemplateError) in
            for item in try itemsIfTrue(value) {
                try step()
                add(try applyFilter(filter, to: item, rest).withoutMarkup)
            }
        }
    }

    private func select(
        _ filter: String, _ value: TemplateValue, _ arguments: EvaluatedArguments
    ) throws(TemplateError) -> TemplateValue {
        var rest = arguments
        var path: [TemplateValue] = []
        if filter.hasSuffix("attr") {
            guard let attribute = try attributePath(arguments.positional.first) else {
                throw fault(.type, "\(filter) needs the name of an attribute")
            }
            path = attribute
            rest = rest.dropping(1)
        }
        var test: String?
        if let first = rest.positional.first {
            guard case .string(let name) = first else { throw fault(.type, "\(filter): a test is named by a string") }
            test = name.string
            rest = rest.dropping(1)
        } else if let named = rest.named.first {
            throw fault(.type, "\(filter) has no argument \(named.name)")
        }
        return try iterator { (add) throws(TemplateError) in
            for item in try itemsIfTrue(value) {
                try step()
                let subject = try attribute(path, of: item)
                let passes = try test.map { (name) throws(TemplateError) in try applyTest(name, to: subject, rest) }
                if passes ?? subject.isTrue == filter.hasPrefix("select") { add(item) }
            }
        }
    }
}
