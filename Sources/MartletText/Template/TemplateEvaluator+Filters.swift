// SPDX-License-Identifier: Apache-2.0

// Jinja's filters and tests, those that chat templates use.
extension TemplateEvaluator {
    mutating func applyFilter(
        _ name: String, to value: TemplateValue, _ arguments: EvaluatedArguments, line: Int
    ) throws(TemplateError) -> TemplateValue {
        switch name {
        case "trim":
            return try string(text(of: value, line: line).stripped(.both, of: arguments.text(0, "chars")), line: line)
        case "upper": return try string(text(of: value, line: line).uppercased(), line: line)
        case "lower": return try string(text(of: value, line: line).lowercased(), line: line)
        case "capitalize": return try string(text(of: value, line: line).capitalizedFirst, line: line)
        case "title": return try string(text(of: value, line: line).titleCased, line: line)
        case "string", "safe": return try string(text(of: value, line: line), line: line)
        case "length", "count": return .integer(try length(of: value, line: line))
        case "default", "d":
            let replacement = arguments.value(0, "default_value") ?? .string("")
            if case .undefined = value { return replacement }
            return arguments.value(1, "boolean")?.isTrue == true && !value.isTrue ? replacement : value
        case "tojson":
            let indent = arguments.integer(0, "indent").map { min(max($0, 0), 16) }
            return try string(json(of: value, indent: indent, line: line), line: line)
        case "join":
            var items = try iterate(value, line: line)
            if let attribute = arguments.text(1, "attribute") {
                items = try attributes(attribute, of: items, line: line)
            }
            return try join(items, by: arguments.text(0, "d") ?? "", line: line)
        case "replace":
            guard let old = arguments.text(0, "old"), let new = arguments.text(1, "new") else {
                throw TemplateError(.type, "replace needs two strings", line: line)
            }
            return try replace(text(of: value, line: line), old, new, limit: arguments.integer(2, "count"), line: line)
        case "first": return try iterate(value, line: line).first ?? .undefined("the first of nothing")
        case "last": return try iterate(value, line: line).last ?? .undefined("the last of nothing")
        case "list":
            let items = try iterate(value, line: line)
            return try list(items, line: line)
        case "reverse":
            if case .string(let text) = value {
                var scalars = String.UnicodeScalarView()
                scalars.append(contentsOf: text.unicodeScalars.reversed())
                return try string(String(scalars), line: line)
            }
            let items = try iterate(value, line: line)
            return try list(items.reversed(), line: line)
        case "items":
            guard case .dictionary(let items) = value else {
                throw TemplateError(.type, "items needs a mapping, not \(value.typeName)", line: line)
            }
            return try pairs(of: items, line: line)
        case "int": return .integer(integer(value) ?? arguments.integer(0, "default") ?? 0)
        case "float":
            let text = try text(of: value, line: line)
            return .float(value.number ?? Double(text) ?? arguments.value(0, "default")?.number ?? 0)
        case "abs":
            if case .float(let number) = value { return .float(abs(number)) }
            guard let number = value.integer, number != .min else { break }
            return .integer(abs(number))
        case "indent": return try string(indented(text(of: value, line: line), arguments, line: line), line: line)
        case "map":
            let items = try iterate(value, line: line)
            if let attribute = arguments.named["attribute"], case .string(let name) = attribute {
                return try list(attributes(name, of: items, line: line), line: line)
            }
            guard let filter = arguments.text(0, "filter") else { break }
            // A mapped map would recurse as often as it has arguments.
            guard filter != "map" else { throw TemplateError(.unsupported, "map can't be mapped", line: line) }
            let rest = arguments.rest
            var results: [TemplateValue] = []
            for item in items {
                try step(line: line)
                results.append(try applyFilter(filter, to: item, rest, line: line))
            }
            return try list(results, line: line)
        case "selectattr", "rejectattr", "select", "reject":
            return try select(name, value, arguments, line: line)
        default: throw TemplateError(.unsupported, "the filter \(name) is not supported", line: line)
        }
        throw TemplateError(.type, "\(name) can't be applied to \(value.typeName)", line: line)
    }

    mutating func length(of value: TemplateValue, line: Int) throws(TemplateError) -> Int {
        switch value {
        case .string(let text):
            try scan(text.utf8.count, line: line)
            return text.unicodeScalars.count
        case .list(let items): return items.count
        case .dictionary(let items): return items.count
        case .undefined: return 0
        default: throw TemplateError(.type, "\(value.typeName) has no length", line: line)
        }
    }

    mutating func replace(
        _ text: String, _ old: String, _ new: String, limit: Int?, line: Int
    ) throws(TemplateError) -> TemplateValue {
        try scan(text.utf8.count + old.utf8.count, line: line)
        guard !old.isEmpty else { throw TemplateError(.unsupported, "replacing nothing is not supported", line: line) }
        let pieces = text.pieces(separatedBy: old, limit: limit.map { $0 < 0 ? Int.max : $0 } ?? .max)
        // Spent before it is made.
        let (bytes, overflow) = pieces.count.multipliedReportingOverflow(by: new.utf8.count)
        try spend(overflow ? Int.max : bytes, line: line)
        return try string(pieces.joined(separator: new), line: line)
    }

    private func integer(_ value: TemplateValue) -> Int? {
        switch value {
        case .float(let number): Int(exactly: number.rounded(.towardZero))
        case .string(let text): Int(text.stripped(.both))
        default: value.integer
        }
    }

    private mutating func indented(
        _ text: String, _ arguments: EvaluatedArguments, line: Int
    ) throws(TemplateError) -> String {
        let width = min(max(arguments.integer(0, "width") ?? 4, 0), 64)
        let indentation = arguments.text(0, "width") ?? String(repeating: " ", count: width)
        let indentsFirst = arguments.value(1, "first")?.isTrue ?? false
        let indentsBlank = arguments.value(2, "blank")?.isTrue ?? false
        let lines = text.pieces(separatedBy: "\n")
        let (bytes, overflow) = lines.count.multipliedReportingOverflow(by: indentation.utf8.count)
        try spend(overflow ? Int.max : bytes, line: line)
        return lines.enumerated().map { index, line in
            let isIndented = index == 0 ? indentsFirst : !line.isEmpty || indentsBlank
            return isIndented ? indentation + line : line
        }.joined(separator: "\n")
    }

    private func attributes(
        _ name: String, of items: [TemplateValue], line: Int
    ) throws(TemplateError) -> [TemplateValue] {
        var results: [TemplateValue] = []
        for item in items { results.append(try attribute(name, of: item, line: line)) }
        return results
    }

    private mutating func select(
        _ filter: String, _ value: TemplateValue, _ arguments: EvaluatedArguments, line: Int
    ) throws(TemplateError) -> TemplateValue {
        var rest = arguments
        var attributeName: String?
        if filter.hasSuffix("attr") {
            guard let name = arguments.text(0, "attribute") else {
                throw TemplateError(.type, "\(filter) needs the name of an attribute", line: line)
            }
            attributeName = name
            rest = rest.rest
        }
        let test = rest.text(0, "test")
        if test != nil { rest = rest.rest }
        var results: [TemplateValue] = []
        for item in try iterate(value, line: line) {
            try step(line: line)
            let subject: TemplateValue
            if let attributeName {
                subject = try attribute(attributeName, of: item, line: line)
            } else {
                subject = item
            }
            let passes: Bool
            if let test {
                passes = try applyTest(test, to: subject, rest, line: line)
            } else {
                passes = subject.isTrue
            }
            if passes == filter.hasPrefix("select") { results.append(item) }
        }
        return try list(results, line: line)
    }

    mutating func applyTest(
        _ name: String, to value: TemplateValue, _ arguments: EvaluatedArguments, line: Int
    ) throws(TemplateError) -> Bool {
        func argument() throws(TemplateError) -> TemplateValue {
            guard let argument = arguments.positional.first else {
                throw TemplateError(.type, "the test \(name) needs an argument", line: line)
            }
            return argument
        }
        func integer() throws(TemplateError) -> Int {
            guard let integer = value.integer else {
                throw TemplateError(.type, "the test \(name) needs an integer", line: line)
            }
            return integer
        }
        switch (name, value) {
        case ("defined", .undefined): return false
        case ("defined", _): return true
        case ("undefined", .undefined): return true
        case ("undefined", _): return false
        case ("none", .none), ("string", .string), ("mapping", .dictionary), ("boolean", .bool),
            ("integer", .integer), ("float", .float), ("number", .integer), ("number", .float), ("number", .bool),
            ("sequence", .list), ("sequence", .string), ("sequence", .dictionary), ("iterable", .list),
            ("iterable", .string), ("iterable", .dictionary), ("iterable", .undefined), ("sequence", .undefined):
            return true
        case ("none", _), ("string", _), ("mapping", _), ("boolean", _), ("integer", _), ("float", _), ("number", _),
            ("sequence", _), ("iterable", _):
            return false
        case ("true", .bool(true)), ("false", .bool(false)): return true
        case ("true", _), ("false", _): return false
        case ("equalto", _), ("eq", _), ("==", _): return try equal(value, argument(), line: line)
        case ("ne", _), ("!=", _): return !(try equal(value, argument(), line: line))
        case ("in", _): return try contains(try argument(), value, line: line)
        case ("odd", _): return try integer() % 2 != 0
        case ("even", _): return try integer() % 2 == 0
        case ("divisibleby", _):
            guard let divisor = try argument().integer, divisor != 0 else {
                throw TemplateError(.type, "divisibleby needs an integer other than 0", line: line)
            }
            return try integer().isMultiple(of: divisor)
        default: throw TemplateError(.unsupported, "the test \(name) is not supported", line: line)
        }
    }
}
