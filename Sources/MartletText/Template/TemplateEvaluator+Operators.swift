// SPDX-License-Identifier: Apache-2.0

import Glibc

// Python's operators.
extension TemplateEvaluator {
    func negated(_ value: TemplateValue) throws(TemplateError) -> TemplateValue {
        if case .float(let number) = value { return .float(-number) }
        guard let integer = value.integer else { throw fault(.type, "can't negate \(value.typeName)") }
        let (result, overflow) = Int(0).subtractingReportingOverflow(integer)
        if overflow { throw outOfRange }
        return .integer(result)
    }

    private var outOfRange: TemplateError { fault(.type, "integer out of range") }

    func arithmetic(
        _ left: TemplateValue, _ symbol: String, _ right: TemplateValue
    ) throws(TemplateError) -> TemplateValue {
        if left.isMarkup || right.isMarkup { return try arithmetic(ofMarkup: left, symbol, right) }
        if symbol == "~" {
            let first = try text(of: left)
            return try string(first + text(of: right))
        }
        if case .string = left, symbol == "%" { throw fault(.unsupported, "formatting with % is not supported") }
        for case .undefined(let name) in [left, right] {
            throw fault(.undefined, "\(name) is undefined: \(symbol) can't be applied to it")
        }
        switch (left, symbol, right) {
        case (.string(let a), "+", .string(let b)): return try string(a + b)
        case (.string(let text), "*", _), (_, "*", .string(let text)):
            guard let count = left.integer ?? right.integer else { break }
            try spend(max(0, count), times: text.count)
            let result = text.repeated(count)
            try read(bytes: result.count)
            return .string(result)
        case (.list(let a), "+", .list(let b)) where a.kind == b.kind && (a.kind == .list || a.kind == .tuple):
            return try list(a.items + b.items, kind: a.kind)
        case (.list(let items), "*", _), (_, "*", .list(let items)):
            guard let count = left.integer ?? right.integer, items.kind == .list || items.kind == .tuple else { break }
            let times = items.isEmpty ? 0 : max(0, count)
            try spend(times, times: items.count * 16)
            return try list((0..<times).flatMap { _ in items.items }, kind: items.kind)
        default: break
        }
        if let a = left.integer, let b = right.integer, symbol != "/" {
            return try arithmetic(a, symbol, b)
        }
        guard let a = left.number, let b = right.number else {
            throw fault(.type, "can't compute \(left.typeName) \(symbol) \(right.typeName)")
        }
        return .float(try arithmetic(a, symbol, b))
    }

    /// `+` escapes what isn't marked, and marks its result; to all else, `~` too, a mark means nothing.
    private func arithmetic(
        ofMarkup left: TemplateValue, _ symbol: String, _ right: TemplateValue
    ) throws(TemplateError) -> TemplateValue {
        guard symbol == "+", left.isText, right.isText else {
            return try arithmetic(left.withoutMarkup, symbol, right.withoutMarkup)
        }
        func escaped(_ value: TemplateValue) throws(TemplateError) -> PromptText {
            let text = try text(of: value)
            if value.isMarkup { return text }
            try read(bytes: text.count, by: .characters)
            try spend(text.count, times: 5)
            return text.escapedForHTML
        }
        let first = try escaped(left)
        guard case .string(let joined) = try string(first + escaped(right)) else { return .none }
        return .markup(joined)
    }

    private func arithmetic(_ a: Double, _ symbol: String, _ b: Double) throws(TemplateError) -> Double {
        switch symbol {
        case "+": return a + b
        case "-": return a - b
        case "*": return a * b
        case "**":
            if a == 0, b < 0 { throw fault(.type, "division by zero") }
            if a < 0, a.isFinite, b.isFinite, b.rounded() != b {
                throw fault(.unsupported, "complex numbers are not supported")
            }
            let power = pow(a, b)
            if power.isInfinite, a.isFinite, b.isFinite { throw fault(.type, "number out of range") }
            return power
        default:
            guard b != 0 else { throw fault(.type, "division by zero") }
            if symbol == "/" { return a / b }
            let (quotient, remainder) = PythonNumber.divided(a, by: b)
            return symbol == "//" ? quotient : remainder
        }
    }

    private func arithmetic(_ a: Int, _ symbol: String, _ b: Int) throws(TemplateError) -> TemplateValue {
        let result: (partialValue: Int, overflow: Bool)
        switch symbol {
        case "+": result = a.addingReportingOverflow(b)
        case "-": result = a.subtractingReportingOverflow(b)
        case "*": result = a.multipliedReportingOverflow(by: b)
        case "**":
            guard b >= 0 else { return .float(try arithmetic(Double(a), symbol, Double(b))) }
            var power: (partialValue: Int, overflow: Bool) = (1, false)
            // Beyond 64 factors only 0, 1 and -1 stay in range.
            let factors = a.magnitude <= 1 ? min(b, 2 + b % 2) : b
            for _ in 0..<min(factors, 64) where !power.overflow {
                power = power.partialValue.multipliedReportingOverflow(by: a)
            }
            result = factors > 64 ? (0, true) : power
        default:
            guard b != 0 else { throw fault(.type, "division by zero") }
            let (quotient, overflow) = a.dividedReportingOverflow(by: b)
            if overflow {
                if symbol == "%" { return .integer(0) }
                throw outOfRange
            }
            // Python rounds down where Swift rounds towards zero.
            let remainder = a - quotient * b
            let isOff = remainder != 0 && (remainder < 0) != (b < 0)
            return .integer(symbol == "//" ? quotient - (isOff ? 1 : 0) : remainder + (isOff ? b : 0))
        }
        if result.overflow { throw outOfRange }
        return .integer(result.partialValue)
    }

    // MARK: Comparisons

    func compare(
        _ left: TemplateValue, _ symbol: String, _ right: TemplateValue
    ) throws(TemplateError) -> Bool {
        switch symbol {
        case "==": return try equal(left, right)
        case "!=": return !(try equal(left, right))
        case "in": return try contains(right, left)
        case "not in": return !(try contains(right, left))
        default: break
        }
        guard let order = try order(left, right) else { return false }
        switch symbol {
        case "<": return order < 0
        case "<=": return order <= 0
        case ">": return order > 0
        default: return order >= 0
        }
    }

    /// -1, 0 or 1; nil where one of two numbers is none, so that no comparison holds.
    private func order(_ left: TemplateValue, _ right: TemplateValue) throws(TemplateError) -> Int? {
        if let order = PythonNumber.compare(left, right) { return order }
        switch (left, right) {
        case (.string(let a), .string(let b)):
            try read(bytes: min(a.count, b.count))
            return a == b ? 0 : a.precedes(b) ? -1 : 1
        case (.list(let a), .list(let b)) where a.kind == b.kind && (a.kind == .list || a.kind == .tuple):
            try read(items: min(a.count, b.count))
            for (first, second) in zip(a, b) where !(try equal(first, second)) { return try order(first, second) }
            return a.count < b.count ? -1 : a.count == b.count ? 0 : 1
        case (.undefined(let name), _), (_, .undefined(let name)):
            throw fault(.undefined, "\(name) is undefined and can't be compared")
        default: throw fault(.type, "can't compare \(left.typeName) with \(right.typeName)")
        }
    }

    /// Python's `==`: numbers by value, other things by kind and value.
    func equal(_ left: TemplateValue, _ right: TemplateValue) throws(TemplateError) -> Bool {
        try step()
        if let order = PythonNumber.compare(left, right) { return order == 0 }
        switch (left, right) {
        case (.undefined, .undefined), (.none, .none): return true
        case (.string(let a), .string(let b)):
            try read(bytes: min(a.count, b.count))
            return a == b
        case (.list(let a), .list(let b)):
            switch (a.kind, b.kind) {
            case (.list, .list), (.tuple, .tuple), (.range, .range): break
            case (.view("dict_keys"), .view("dict_keys")), (.view("dict_items"), .view("dict_items")):
                return try equalAsSets(a, b)
            default: return false
            }
            guard a.count == b.count else { return false }
            for (first, second) in zip(a, b) where !(try equal(first, second)) { return false }
            return true
        case (.dictionary(let a), .dictionary(let b)):
            guard a.count == b.count else { return false }
            for (key, value) in a {
                if case .text(let text) = key { try read(bytes: text.count, by: .characters) }
                guard let other = b[key], try equal(value, other) else { return false }
            }
            return true
        case (.namespace(let a), .namespace(let b)), (.iterator(let a), .iterator(let b)): return a == b
        case (.loop(let a), .loop(let b)): return a === b
        case (.function(let a), .function(let b)): return a == b
        case (.macro(let a, _), .macro(let b, _)): return a == b
        default: return false
        }
    }

    /// Whether views of mappings hold the same: in any order, each once, as keys are.
    private func equalAsSets(_ left: TemplateList, _ right: TemplateList) throws(TemplateError) -> Bool {
        guard left.count == right.count else { return false }
        for item in left {
            var isThere = false
            for other in right where !isThere { isThere = try equal(item, other) }
            guard isThere else { return false }
        }
        return true
    }

    func contains(_ container: TemplateValue, _ item: TemplateValue) throws(TemplateError) -> Bool {
        switch (container, item) {
        case (.list(let items), _):
            for candidate in items where try equal(candidate, item) { return true }
            return false
        case (.iterator(let index), _):
            while let candidate = try next(of: index) {
                if try equal(candidate, item) { return true }
            }
            return false
        case (.dictionary(let items), .string(let key)):
            try read(bytes: key.count, by: .characters)
            return items[key] != nil
        case (.dictionary(let items), .integer), (.dictionary(let items), .bool), (.dictionary(let items), .float):
            return TemplateKey(finding: item).flatMap { items[$0] } != nil
        case (.dictionary, .list(let items)) where items.kind == .list:
            throw fault(.type, "a list can't be a key")
        case (.dictionary, .dictionary): throw fault(.type, "a mapping can't be a key")
        case (.dictionary, _), (.undefined, _): return false
        case (.string(let text), .string(let part)):
            try read(bytes: text.count, by: .characters)
            try read(bytes: part.count, by: .characters)
            return text.contains(part)
        default: throw fault(.type, "can't look for \(item.typeName) in \(container.typeName)")
        }
    }
}

extension TemplateValue {
    fileprivate var isMarkup: Bool { if case .markup = self { true } else { false } }

    fileprivate var isText: Bool {
        switch self {
        case .string, .markup: true
        default: false
        }
    }

    /// The same without the mark of the filter `safe`.
    var withoutMarkup: TemplateValue {
        if case .markup(let text) = self { .string(text) } else { self }
    }
}

extension PromptText {
    /// As MarkupSafe escapes it.
    fileprivate var escapedForHTML: PromptText {
        var result = PromptText()
        forEachScalar { element in
            let escape: String? =
                switch element.scalar {
                case "&": "&amp;"
                case "<": "&lt;"
                case ">": "&gt;"
                case "'": "&#39;"
                case "\"": "&#34;"
                default: nil
                }
            if let escape {
                result.append(escape.utf8, isUser: element.isUser)
            } else {
                result.append(element.scalar, isUser: element.isUser)
            }
        }
        return result
    }
}
