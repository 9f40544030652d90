// SPDX-License-Identifier: Apache-2.0

import Foundation
import OrderedCollections

/// Filters that compare items with each other, or add them up.
extension TemplateFilters {
    private static let sortSignature = TemplateSignature(["reverse", "case_sensitive", "attribute"])
    private static let choiceSignature = TemplateSignature(["case_sensitive", "attribute"])

    static let ordering: [String: Filter] = [
        "sort": Filter(sortSignature) { (e, value, a) throws(TemplateError) in
            let items = try e.keyed(e.iterate(value), by: a[2], isCaseSensitive: a.isTrue(1), isList: true)
            return try e.list(e.sorted(items, reversed: a.isTrue(0)).map(\.value))
        },
        "dictsort": Filter(TemplateSignature(["case_sensitive", "by", "reverse"])) {
            (e, value, a) throws(TemplateError) in
            guard case .dictionary(let entries) = value else {
                throw e.fault(.type, "dictsort needs a mapping, not \(value.typeName)")
            }
            let column = try a.text(1)?.string ?? "key"
            guard ["key", "value"].contains(column) else {
                throw e.fault(.type, "dictsort sorts by key or value, not \(PromptText(column).abbreviated)")
            }
            let items = try e.keyed(
                e.pairs(of: entries), by: .integer(column == "key" ? 0 : 1), isCaseSensitive: a.isTrue(0))
            return try e.list(e.sorted(items, reversed: a.isTrue(2)).map(\.value))
        },
        "unique": Filter(choiceSignature) { (e, value, a) throws(TemplateError) in
            let items = try e.keyed(e.iterate(value), by: a[1], isCaseSensitive: a.isTrue(0))
            var seen: [TemplateValue] = []
            return try e.iterator { (add) throws(TemplateError) in
                for item in items {
                    switch item.key {
                    case .list(let key) where key.kind == .list: throw e.fault(.type, "a list has no hash")
                    case .dictionary: throw e.fault(.type, "a mapping has no hash")
                    default: break
                    }
                    var isNew = true
                    for key in seen where isNew { isNew = try !e.equal(key, item.key) }
                    guard isNew else { continue }
                    seen.append(item.key)
                    add(item.value)
                }
            }
        },
        "min": Filter(choiceSignature) { (e, value, a) throws(TemplateError) in
            try e.extreme(of: value, "<", a)
        },
        "max": Filter(choiceSignature) { (e, value, a) throws(TemplateError) in
            try e.extreme(of: value, ">", a)
        },
        "sum": Filter(TemplateSignature(["attribute", "start"])) { (e, value, a) throws(TemplateError) in
            var sum = a[1] ?? .integer(0)
            if case .string = sum { throw e.fault(.type, "sum adds no strings; use join") }
            for item in try e.keyed(e.iterate(value), by: a[0], isCaseSensitive: true) {
                sum = try e.arithmetic(sum, "+", item.key)
            }
            return sum
        },
        "round": Filter(TemplateSignature(["precision", "method"])) { (e, value, a) throws(TemplateError) in
            try e.rounded(value, a)
        },
    ]
}

extension TemplateEvaluator {
    /// Items with what they are compared by: themselves, or an attribute.
    ///
    /// - Parameters:
    ///   - attribute: a path such as `a.b`; of a sort also several, `a,b`.
    ///   - isCaseSensitive: whether texts are compared as they are, and not in lower case.
    ///   - isList: whether several attributes are taken. Keys are lists then, even of one: undefined ones are equal in those.
    fileprivate func keyed(
        _ items: [TemplateValue], by attribute: TemplateValue?, isCaseSensitive: Bool, isList: Bool = false
    ) throws(TemplateError) -> [(key: TemplateValue, value: TemplateValue)] {
        var paths: [[TemplateValue]] = []
        if isList, case .string(let names)? = attribute, names.bytes.contains(UInt8(ascii: ",")) {
            guard names.count <= 256 else {
                throw fault(.unsupported, "an attribute of more than 256 bytes is not supported")
            }
            for name in names.pieces(separatedBy: ",") { paths.append(try attributePath(.string(name)) ?? []) }
        } else {
            paths.append(try attributePath(attribute) ?? [])
        }
        var result: [(key: TemplateValue, value: TemplateValue)] = []
        try spend(items.count, times: 128)
        for item in items {
            try step()
            var keys: [TemplateValue] = []
            for path in paths {
                var key = try self.attribute(path, of: item)
                if !isCaseSensitive, case .string(let text) = key { key = try changeCase(text) { $0.lowercased() } }
                keys.append(key)
            }
            result.append((isList ? .list(TemplateList(keys)) : keys[0], item))
        }
        return result
    }

    /// Sorted by their keys; equals stay in order.
    fileprivate func sorted(
        _ items: [(key: TemplateValue, value: TemplateValue)], reversed: Bool
    ) throws(TemplateError) -> [(key: TemplateValue, value: TemplateValue)] {
        var failure: TemplateError?
        func precedes(_ left: TemplateValue, _ right: TemplateValue) -> Bool {
            guard failure == nil else { return false }
            do throws(TemplateError) { return try compare(left, reversed ? ">" : "<", right) } catch {
                failure = error
                return false
            }
        }
        let result = items.enumerated().sorted { first, second in
            if precedes(first.element.key, second.element.key) { return true }
            return first.offset < second.offset && !precedes(second.element.key, first.element.key)
        }
        if let failure { throw failure }
        return result.map(\.element)
    }

    fileprivate func extreme(
        of value: TemplateValue, _ symbol: String, _ arguments: BoundArguments
    ) throws(TemplateError) -> TemplateValue {
        let items = try keyed(iterate(value), by: arguments[1], isCaseSensitive: arguments.isTrue(0))
        guard var best = items.first else { return .undefined("the least or largest of nothing") }
        for item in items.dropFirst() where try compare(item.key, symbol, best.key) { best = item }
        return best.value
    }

    fileprivate func rounded(
        _ value: TemplateValue, _ arguments: BoundArguments
    ) throws(TemplateError) -> TemplateValue {
        let precision = try arguments.integer(0) ?? 0
        let method = try arguments.text(1)?.string ?? "common"
        guard ["common", "ceil", "floor"].contains(method) else {
            throw fault(.type, "round: the method must be common, ceil or floor")
        }
        guard (0...15).contains(precision) else {
            throw fault(.unsupported, "round: a precision outside of 0 to 15 is not supported")
        }
        if method == "common", let integer = value.integer { return .integer(integer) }
        guard let number = value.number else { throw fault(.type, "\(value.typeName) can't be rounded") }
        guard number.isFinite else { return .float(number) }
        if method == "common" {
            // Rounds the exact value, and halves to even, as Python does.
            return .float(Double(String(format: "%.\(precision)f", number)) ?? number)
        }
        let scale = pow(10, Double(precision))
        return .float((number * scale).rounded(method == "ceil" ? .up : .down) / scale)
    }
}
