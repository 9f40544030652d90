// SPDX-License-Identifier: Apache-2.0

import Glibc
import OrderedCollections

// Global functions, and the methods of strings and mappings.
extension TemplateEvaluator {
    mutating func call(
        _ callee: TemplateExpression, _ arguments: TemplateArguments, line: Int
    ) throws(TemplateError) -> TemplateValue {
        switch callee.kind {
        case .name(let name): return try callFunction(name, evaluate(arguments), line: line)
        case .attribute(let base, let name):
            let value = try evaluate(base)
            return try callMethod(name, of: value, evaluate(arguments), line: line)
        default: throw TemplateError(.unsupported, "only functions and methods can be called", line: line)
        }
    }

    private mutating func callFunction(
        _ name: String, _ arguments: EvaluatedArguments, line: Int
    ) throws(TemplateError) -> TemplateValue {
        switch name {
        case "raise_exception": throw TemplateError(.raised, arguments.text(0, "message") ?? "raised", line: line)
        case "range":
            let bounds = arguments.positional.compactMap(\.integer)
            guard (1...3).contains(bounds.count), bounds.count == arguments.positional.count,
                bounds.last != 0 || bounds.count < 3
            else { throw TemplateError(.type, "range needs one to three integers", line: line) }
            let start = bounds.count == 1 ? 0 : bounds[0]
            let end = bounds.count == 1 ? bounds[0] : bounds[1]
            let values = stride(from: start, to: end, by: bounds.count == 3 ? bounds[2] : 1)
                .prefix(budget.rangeLength + 1)
            let items = values.map { TemplateValue.integer($0) }
            guard items.count <= budget.rangeLength else {
                throw TemplateError(.budgetExceeded, "a range of more than \(budget.rangeLength)", line: line)
            }
            return try list(items, line: line)
        case "namespace":
            namespaces.append(arguments.named)
            return .namespace(namespaces.count - 1)
        case "dict": return .dictionary(TemplateMapping(arguments.named))
        case "strftime_now":
            guard let format = arguments.text(0, "format") else {
                throw TemplateError(.type, "strftime_now needs a format", line: line)
            }
            return try string(formatTime(format), line: line)
        default:
            if lookUp(name) != nil { throw TemplateError(.type, "\(name) is not a function", line: line) }
            throw TemplateError(.unsupported, "the function \(name) is not supported", line: line)
        }
    }

    private func formatTime(_ format: String) -> String {
        var seconds = time_t(now)
        var parts = tm()
        gmtime_r(&seconds, &parts)
        var buffer = [CChar](repeating: 0, count: 256)
        let count = strftime(&buffer, buffer.count, format, &parts)
        return String(decoding: buffer.prefix(count).map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    private mutating func callMethod(
        _ name: String, of value: TemplateValue, _ arguments: EvaluatedArguments, line: Int
    ) throws(TemplateError) -> TemplateValue {
        switch value {
        case .string(let text): return try callStringMethod(name, of: text, arguments, line: line)
        case .dictionary(let items):
            switch name {
            case "items": return try pairs(of: items, line: line)
            case "keys": return try list(items.map { .string($0.key) }, line: line)
            case "values": return try list(items.map(\.value), line: line)
            case "get":
                guard let key = arguments.text(0, "key") else { return arguments.value(1, "default") ?? .none }
                return items[key] ?? arguments.value(1, "default") ?? .none
            default: break
            }
        case .undefined(let base):
            throw TemplateError(.undefined, "\(base) is undefined and has no method \(name)", line: line)
        default: break
        }
        throw TemplateError(.unsupported, "the method \(name) of \(value.typeName) is not supported", line: line)
    }

    private mutating func callStringMethod(
        _ name: String, of text: String, _ arguments: EvaluatedArguments, line: Int
    ) throws(TemplateError) -> TemplateValue {
        func argument(_ position: Int = 0) throws(TemplateError) -> String {
            guard let argument = arguments.text(position, "") else {
                throw TemplateError(.type, "\(name) needs a string", line: line)
            }
            return argument
        }
        switch name {
        case "strip": return try string(text.stripped(.both, of: arguments.text(0, "chars")), line: line)
        case "lstrip": return try string(text.stripped(.start, of: arguments.text(0, "chars")), line: line)
        case "rstrip": return try string(text.stripped(.end, of: arguments.text(0, "chars")), line: line)
        case "upper": return try string(text.uppercased(), line: line)
        case "lower": return try string(text.lowercased(), line: line)
        case "title": return try string(text.titleCased, line: line)
        case "capitalize": return try string(text.capitalizedFirst, line: line)
        case "startswith": return .bool(text.hasBytesPrefix(try argument()))
        case "endswith": return .bool(text.hasBytesSuffix(try argument()))
        case "replace":
            let old = try argument(0)
            return try replace(text, old, argument(1), limit: arguments.integer(2, "count"), line: line)
        case "join":
            let items = try iterate(arguments.value(0, "iterable") ?? .list([]), line: line)
            return try join(items, by: text, line: line)
        case "split":
            try scan(text.utf8.count, line: line)
            try spend(text.utf8.count, line: line)
            guard let separator = arguments.text(0, "sep") else {
                return try list(text.words.map { .string($0) }, line: line)
            }
            guard !separator.isEmpty else { throw TemplateError(.type, "empty separator", line: line) }
            let limit = arguments.integer(1, "maxsplit").map { $0 < 0 ? Int.max : $0 } ?? .max
            let pieces = text.pieces(separatedBy: separator, limit: limit)
            return try list(pieces.map { .string($0) }, line: line)
        default: throw TemplateError(.unsupported, "the method \(name) of a string is not supported", line: line)
        }
    }
}
