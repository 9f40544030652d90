// SPDX-License-Identifier: Apache-2.0

import OrderedCollections

extension TemplateEvaluator {
    mutating func evaluate(_ expression: TemplateExpression) throws(TemplateError) -> TemplateValue {
        let line = expression.line
        try step(line: line)
        return try admitted(compute(expression), line: line)
    }

    private mutating func compute(_ expression: TemplateExpression) throws(TemplateError) -> TemplateValue {
        let line = expression.line
        switch expression.kind {
        case .literal(let value): return value
        case .name(let name): return lookUp(name) ?? .undefined(name)
        case .list(let items):
            let values = try evaluate(items)
            return try list(values, line: line)
        case .dictionary(let pairs):
            var result: OrderedDictionary<String, TemplateValue> = [:]
            for pair in pairs {
                guard case .string(let key) = try evaluate(pair.key) else {
                    throw TemplateError(.unsupported, "keys of a mapping must be strings", line: line)
                }
                result[key] = try evaluate(pair.value)
            }
            try spend(result.count * 16, line: line)
            return .dictionary(TemplateMapping(result))
        case .attribute(let base, let name): return try attribute(name, of: evaluate(base), line: line)
        case .index(let base, let index): return try subscripted(evaluate(base), by: evaluate(index), line: line)
        case .slice(let base, let from, let to, let step):
            func bound(_ part: TemplateExpression?) throws(TemplateError) -> Int? {
                guard let part else { return nil }
                let value = try evaluate(part)
                if case .none = value { return nil }
                guard let integer = value.integer else {
                    throw TemplateError(.type, "slices need integers", line: line)
                }
                return integer
            }
            let sequence = try evaluate(base)
            return try slice(sequence, from: bound(from), to: bound(to), step: bound(step) ?? 1, line: line)
        case .call(let callee, let arguments): return try call(callee, arguments, line: line)
        case .filter(let base, let name, let arguments):
            let value = try evaluate(base)
            return try applyFilter(name, to: value, evaluate(arguments), line: line)
        case .test(let base, let name, let arguments, let negated):
            let value = try evaluate(base)
            return .bool(try applyTest(name, to: value, evaluate(arguments), line: line) != negated)
        case .not(let operand): return .bool(!(try evaluate(operand).isTrue))
        case .negative(let operand):
            switch try evaluate(operand) {
            case .integer(let value):
                let (result, overflow) = Int(0).subtractingReportingOverflow(value)
                if overflow { throw TemplateError(.type, "integer out of range", line: line) }
                return .integer(result)
            case .float(let value): return .float(-value)
            case let other: throw TemplateError(.type, "can't negate \(other.typeName)", line: line)
            }
        case .binary(let left, let symbol, let right):
            let first = try evaluate(left)
            return try arithmetic(first, symbol, evaluate(right), line: line)
        case .and(let left, let right):
            let value = try evaluate(left)
            return value.isTrue ? try evaluate(right) : value
        case .or(let left, let right):
            let value = try evaluate(left)
            return value.isTrue ? value : try evaluate(right)
        case .comparison(let left, let rest):
            var previous = try evaluate(left)
            for (symbol, expression) in rest {
                let next = try evaluate(expression)
                guard try compare(previous, symbol, next, line: line) else { return .bool(false) }
                previous = next
            }
            return .bool(true)
        case .conditional(let condition, let then, let otherwise):
            if try evaluate(condition).isTrue { return try evaluate(then) }
            return try otherwise.map { (expression) throws(TemplateError) in try evaluate(expression) }
                ?? .undefined("the missing else")
        }
    }

    private mutating func evaluate(_ expressions: [TemplateExpression]) throws(TemplateError) -> [TemplateValue] {
        var values: [TemplateValue] = []
        for expression in expressions { values.append(try evaluate(expression)) }
        return values
    }

    mutating func evaluate(_ arguments: TemplateArguments) throws(TemplateError) -> EvaluatedArguments {
        var named: OrderedDictionary<String, TemplateValue> = [:]
        for (name, expression) in arguments.named { named[name] = try evaluate(expression) }
        return EvaluatedArguments(positional: try evaluate(arguments.positional), named: named)
    }

    // MARK: Parts of values

    func attribute(_ name: String, of value: TemplateValue, line: Int) throws(TemplateError) -> TemplateValue {
        switch value {
        case .dictionary(let items): return items[name] ?? .undefined(name)
        case .namespace(let index): return namespaces[index][name] ?? .undefined(name)
        case .undefined(let base):
            throw TemplateError(.undefined, "\(base) is undefined and has no attribute \(name)", line: line)
        default: return .undefined(name)
        }
    }

    private mutating func subscripted(
        _ value: TemplateValue, by index: TemplateValue, line: Int
    ) throws(TemplateError) -> TemplateValue {
        switch (value, index) {
        case (.dictionary, .string(let key)), (.namespace, .string(let key)), (.undefined, .string(let key)):
            return try attribute(key, of: value, line: line)
        case (.undefined(let name), _):
            throw TemplateError(.undefined, "\(name) is undefined and has no elements", line: line)
        case (.list(let items), _):
            guard let position = index.integer else { return .undefined("that element") }
            let at = position < 0 ? items.count + position : position
            return items.indices.contains(at) ? items[at] : .undefined("element \(position)")
        case (.string(let text), _):
            guard let position = index.integer else { return .undefined("that element") }
            try scan(text.utf8.count, line: line)
            let scalars = Array(text.unicodeScalars)
            let at = position < 0 ? scalars.count + position : position
            return scalars.indices.contains(at)
                ? .string(String(Character(scalars[at]))) : .undefined("character \(position)")
        default: return .undefined("that element")
        }
    }

    private mutating func slice(
        _ value: TemplateValue, from: Int?, to: Int?, step: Int, line: Int
    ) throws(TemplateError) -> TemplateValue {
        guard step != 0, step != .min else { throw TemplateError(.type, "a slice's step can't be \(step)", line: line) }
        func indices(_ count: Int) -> [Int] {
            func clamp(_ bound: Int) -> Int {
                let at = bound < 0 ? bound + count : bound
                return step > 0 ? min(max(at, 0), count) : min(max(at, -1), count - 1)
            }
            let start = from.map(clamp) ?? (step > 0 ? 0 : count - 1)
            let end = to.map(clamp) ?? (step > 0 ? count : -1)
            return Array(stride(from: start, to: end, by: step))
        }
        switch value {
        case .list(let items):
            return try list(indices(items.count).map { items[$0] }, line: line)
        case .string(let text):
            let scalars = Array(text.unicodeScalars)
            var result = String.UnicodeScalarView()
            for index in indices(scalars.count) { result.append(scalars[index]) }
            return try string(String(result), line: line)
        default: throw TemplateError(.type, "can't slice \(value.typeName)", line: line)
        }
    }

    // MARK: Operators

    private mutating func arithmetic(
        _ left: TemplateValue, _ symbol: String, _ right: TemplateValue, line: Int
    ) throws(TemplateError) -> TemplateValue {
        if symbol == "~" {
            return try string(text(of: left, line: line) + text(of: right, line: line), line: line)
        }
        switch (left, symbol, right) {
        case (.string(let a), "+", .string(let b)): return try string(a + b, line: line)
        case (.string(let text), "*", _):
            guard let count = right.integer else { break }
            let (bytes, overflow) = text.utf8.count.multipliedReportingOverflow(by: max(0, count))
            try spend(overflow ? Int.max : bytes, line: line)
            return .string(text.isEmpty ? "" : String(repeating: text, count: max(0, count)))
        case (.list(let a), "+", .list(let b)):
            return try list(Array(a) + b, line: line)
        default: break
        }
        if let a = left.integer, let b = right.integer, symbol != "/" {
            if let result = try integerArithmetic(a, symbol, b, line: line) { return .integer(result) }
        } else if let a = left.number, let b = right.number {
            switch symbol {
            case "+": return .float(a + b)
            case "-": return .float(a - b)
            case "*": return .float(a * b)
            case "/", "//", "%":
                guard b != 0 else { throw TemplateError(.type, "division by zero", line: line) }
                let quotient = (a / b).rounded(.down)
                return .float(symbol == "/" ? a / b : symbol == "//" ? quotient : a - b * quotient)
            default: break
            }
        }
        throw TemplateError(
            .type, "can't compute \(left.typeName) \(symbol) \(right.typeName)", line: line)
    }

    private func integerArithmetic(
        _ a: Int, _ symbol: String, _ b: Int, line: Int
    ) throws(TemplateError) -> Int? {
        let result: (partialValue: Int, overflow: Bool)
        switch symbol {
        case "+": result = a.addingReportingOverflow(b)
        case "-": result = a.subtractingReportingOverflow(b)
        case "*": result = a.multipliedReportingOverflow(by: b)
        case "//", "%":
            guard b != 0 else { throw TemplateError(.type, "division by zero", line: line) }
            let (quotient, overflow) = a.dividedReportingOverflow(by: b)
            if overflow { throw TemplateError(.type, "integer out of range", line: line) }
            // Python rounds down where Swift rounds towards zero.
            let remainder = a - quotient * b
            let isOff = remainder != 0 && (remainder < 0) != (b < 0)
            return symbol == "//" ? quotient - (isOff ? 1 : 0) : remainder + (isOff ? b : 0)
        case "**":
            guard b >= 0, b <= 64 else {
                throw TemplateError(.type, "exponents must be between 0 and 64", line: line)
            }
            var power: (partialValue: Int, overflow: Bool) = (1, false)
            for _ in 0..<b where !power.overflow { power = power.partialValue.multipliedReportingOverflow(by: a) }
            result = power
        default: return nil
        }
        if result.overflow { throw TemplateError(.type, "integer out of range", line: line) }
        return result.partialValue
    }

    private mutating func compare(
        _ left: TemplateValue, _ symbol: String, _ right: TemplateValue, line: Int
    ) throws(TemplateError) -> Bool {
        switch symbol {
        case "==": return try equal(left, right, line: line)
        case "!=": return !(try equal(left, right, line: line))
        case "in": return try contains(right, left, line: line)
        case "not in": return !(try contains(right, left, line: line))
        default: break
        }
        let order: (less: Bool, equal: Bool)
        if let a = left.number, let b = right.number {
            order = (a < b, a == b)
        } else if case .string(let a) = left, case .string(let b) = right {
            let (a, b) = (a.unicodeScalars, b.unicodeScalars)
            order = (a.lexicographicallyPrecedes(b), a.elementsEqual(b))
        } else {
            throw TemplateError(.type, "can't compare \(left.typeName) with \(right.typeName)", line: line)
        }
        switch symbol {
        case "<": return order.less
        case "<=": return order.less || order.equal
        case ">": return !order.less && !order.equal
        default: return !order.less
        }
    }

    /// Python's `==`: numbers by value, other things by kind and value.
    mutating func equal(_ left: TemplateValue, _ right: TemplateValue, line: Int) throws(TemplateError) -> Bool {
        try step(line: line)
        if let a = left.integer, let b = right.integer { return a == b }
        if let a = left.number, let b = right.number { return a == b }
        switch (left, right) {
        case (.undefined, .undefined), (.none, .none): return true
        case (.string(let a), .string(let b)):
            try scan(min(a.utf8.count, b.utf8.count), line: line)
            return a.utf8.elementsEqual(b.utf8)
        case (.list(let a), .list(let b)):
            guard a.count == b.count else { return false }
            for (first, second) in zip(a, b) where !(try equal(first, second, line: line)) { return false }
            return true
        case (.dictionary(let a), .dictionary(let b)):
            guard a.count == b.count else { return false }
            for (key, value) in a {
                guard let other = b[key], try equal(value, other, line: line) else { return false }
            }
            return true
        case (.namespace(let a), .namespace(let b)): return a == b
        default: return false
        }
    }

    mutating func contains(
        _ container: TemplateValue, _ item: TemplateValue, line: Int
    ) throws(TemplateError) -> Bool {
        switch (container, item) {
        case (.list(let items), _):
            for candidate in items where try equal(candidate, item, line: line) { return true }
            return false
        case (.dictionary(let items), .string(let key)): return items[key] != nil
        case (.dictionary, _), (.undefined, _): return false
        case (.string(let text), .string(let part)):
            try scan(text.utf8.count + part.utf8.count, line: line)
            return part.isEmpty || !text.occurrences(of: part, limit: 1).isEmpty
        default: throw TemplateError(.type, "can't look inside \(container.typeName)", line: line)
        }
    }
}

/// Arguments of a call, a filter or a test.
struct EvaluatedArguments {
    var positional: [TemplateValue] = []
    var named: OrderedDictionary<String, TemplateValue> = [:]

    /// The argument at a position, or by name.
    func value(_ position: Int, _ name: String) -> TemplateValue? {
        position < positional.count ? positional[position] : named[name]
    }

    func text(_ position: Int, _ name: String) -> String? {
        if case .string(let text)? = value(position, name) { return text }
        return nil
    }

    func integer(_ position: Int, _ name: String) -> Int? { value(position, name)?.integer }

    /// Without the first positional argument, if there is one.
    var rest: EvaluatedArguments {
        EvaluatedArguments(positional: Array(positional.dropFirst()), named: named)
    }
}
