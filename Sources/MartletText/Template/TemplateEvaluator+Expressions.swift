// SPDX-License-Identifier: Apache-2.0

import OrderedCollections

extension TemplateEvaluator {
    func evaluate(_ expression: TemplateExpression) throws(TemplateError) -> TemplateValue {
        try evaluateKeepingMarkup(expression).withoutMarkup
    }

    /// The value with the mark that the filter `safe` gave it.
    func evaluateKeepingMarkup(_ expression: TemplateExpression) throws(TemplateError) -> TemplateValue {
        line = expression.line
        try step()
        return try nested { () throws(TemplateError) in try compute(expression) }
    }

    private func compute(_ expression: TemplateExpression) throws(TemplateError) -> TemplateValue {
        switch expression.kind {
        case .literal(let value): return value
        case .name(let name):
            return lookUp(name) ?? (TemplateFunctions.all[name] == nil ? .undefined(name) : .function(name))
        case .list(let items, let isTuple): return try list(evaluate(items), kind: isTuple ? .tuple : .list)
        case .dictionary(let pairs):
            var result: OrderedDictionary<TemplateKey, TemplateValue> = [:]
            for pair in pairs {
                guard let key = TemplateKey(try evaluate(pair.key)) else {
                    throw fault(.unsupported, "keys that are neither strings nor integers are not supported")
                }
                if case .text(let text) = key { try read(bytes: text.count, by: .characters) }
                result[key] = try evaluate(pair.value)
            }
            return try mapping(result)
        case .attribute(let base, let name): return try attribute(name, of: evaluate(base))
        case .index(let base, let index):
            let value = try evaluate(base)
            return try subscripted(value, by: evaluate(index))
        case .slice(let base, let from, let to, let step): return try computeSlice(base, from, to, step)
        case .call(let callee, let arguments): return try call(callee, arguments)
        case .filter(let base, let name, let arguments):
            let value = try evaluate(base)
            return try applyFilter(name, to: value, evaluate(arguments))
        case .test(let base, let name, let arguments, let negated):
            let value = try evaluate(base)
            return .bool(try applyTest(name, to: value, evaluate(arguments)) != negated)
        case .not(let operand): return .bool(!(try evaluate(operand).isTrue))
        case .negative(let operand): return try negated(evaluate(operand))
        case .positive(let operand):
            let value = try evaluate(operand)
            if let integer = value.integer { return .integer(integer) }
            guard case .float = value else { throw fault(.type, "\(value.typeName) has no sign") }
            return value
        case .binary(let left, let symbol, let right):
            let first = try evaluateKeepingMarkup(left)
            return try arithmetic(first, symbol, evaluateKeepingMarkup(right))
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
                guard try compare(previous, symbol, next) else { return .bool(false) }
                previous = next
            }
            return .bool(true)
        case .conditional(let condition, let then, let otherwise):
            if try evaluate(condition).isTrue { return try evaluateKeepingMarkup(then) }
            guard let otherwise else { return .undefined("a condition is false and has no else") }
            return try evaluateKeepingMarkup(otherwise)
        }
    }

    private func evaluate(_ expressions: [TemplateExpression]) throws(TemplateError) -> [TemplateValue] {
        var values: [TemplateValue] = []
        for expression in expressions { values.append(try evaluate(expression)) }
        return values
    }

    func evaluate(_ arguments: TemplateArguments) throws(TemplateError) -> EvaluatedArguments {
        var evaluated = EvaluatedArguments(positional: try evaluate(arguments.positional))
        for (name, expression) in arguments.named { evaluated.named.append((name, try evaluate(expression))) }
        return evaluated
    }

    // MARK: Parts of values

    func attribute(_ name: PromptText, of value: TemplateValue) throws(TemplateError) -> TemplateValue {
        switch value {
        case .undefined(let base):
            throw fault(.undefined, "\(base) is undefined and has no attribute \(name.abbreviated)")
        case .macro(let index, _): return macroAttribute(name, of: index)
        case .namespace(let index): return namespaces[index][name] ?? .undefined(name.abbreviated)
        case .loop(let loop): return loop.attribute(name) ?? .undefined(name.abbreviated)
        default: break
        }
        // As in Python, a method hides a key of the same name.
        if TemplateMethods.has(name, value) { return .function(name.string) }
        if TemplateMethods.changes(name, value) { return .undefined(name.abbreviated) }
        if case .dictionary(let items) = value { return items[name] ?? .undefined(name.abbreviated) }
        return .undefined(name.abbreviated)
    }

    /// `value[index]`: an element first, and an attribute if there is none.
    func subscripted(_ value: TemplateValue, by index: TemplateValue) throws(TemplateError) -> TemplateValue {
        switch (value, index) {
        case (.undefined(let name), _): throw fault(.undefined, "\(name) is undefined and has no elements")
        case (.dictionary(let items), .string(let key)):
            try read(bytes: key.count, by: .characters)
            if let element = items[key] { return element }
            return try attribute(key, of: value)
        case (.dictionary(let items), .integer), (.dictionary(let items), .bool), (.dictionary(let items), .float):
            return TemplateKey(finding: index).flatMap { items[$0] } ?? .undefined("that element")
        case (_, .string(let key)):
            try read(bytes: key.count, by: .characters)
            return try attribute(key, of: value)
        case (.list(let items), _):
            if case .view = items.kind { return .undefined("that element") }
            guard let position = index.integer else { return .undefined("that element") }
            let at = position < 0 ? items.count + position : position
            return items.indices.contains(at) ? items[at] : .undefined("element \(position)")
        case (.string(let text), _):
            guard let position = index.integer else { return .undefined("that character") }
            try read(bytes: text.count, by: .characters)
            let count = text.scalarCount
            let at = position < 0 ? count + position : position
            guard (0..<count).contains(at) else { return .undefined("character \(position)") }
            let start = text.offset(ofScalar: at)
            return .string(text.slice(start..<start + text.lengthOfScalar(at: start)))
        default: return .undefined("that element")
        }
    }

    private func computeSlice(
        _ base: TemplateExpression, _ from: TemplateExpression?, _ to: TemplateExpression?, _ step: TemplateExpression?
    ) throws(TemplateError) -> TemplateValue {
        let value = try evaluate(base)
        var areIntegers = true
        func bound(_ part: TemplateExpression?) throws(TemplateError) -> Int? {
            guard let part else { return nil }
            let value = try evaluate(part)
            if case .none = value { return nil }
            areIntegers = areIntegers && value.integer != nil
            return value.integer
        }
        let bounds = try SliceBounds(from: bound(from), to: bound(to), step: bound(step) ?? 1)
        switch value {
        case .undefined(let name): throw fault(.undefined, "\(name) is undefined and has no slices")
        case .list, .string: break
        default: throw fault(.type, "can't slice \(value.typeName)")
        }
        guard areIntegers else { throw fault(.type, "can't slice by what is no integer") }
        guard bounds.step != 0, bounds.step != .min else {
            throw fault(.type, "a slice's step can't be \(bounds.step)")
        }
        switch value {
        case .list(let items):
            if case .view = items.kind { throw fault(.type, "can't slice a view of a mapping") }
            let indices = bounds.indices(of: items.count)
            try read(items: indices.count)
            return try list(indices.map { items[$0] }, kind: items.kind.sliced(bounds, count: items.count))
        case .string(let text):
            try read(bytes: text.count, by: bounds.step == 1 ? .characters : .properties)
            return try string(text.sliced(bounds))
        default: throw fault(.type, "can't slice \(value.typeName)")
        }
    }
}

extension TemplateList.Kind {
    /// What a slice of such a list is.
    fileprivate func sliced(_ bounds: SliceBounds, count: Int) -> TemplateList.Kind {
        guard case .range(let start, _, let step) = self else { return self }
        let (first, last) = bounds.ends(of: count)
        func value(_ index: Int) -> Int? {
            let (offset, overflows) = index.multipliedReportingOverflow(by: step)
            let (sum, overflowsToo) = start.addingReportingOverflow(offset)
            return overflows || overflowsToo ? nil : sum
        }
        let (product, overflows) = step.multipliedReportingOverflow(by: bounds.step)
        guard let from = value(first), let to = value(last), !overflows else { return .list }
        return .range(start: from, end: to, step: product)
    }
}

/// The bounds of `value[from:to:step]`. The step is neither 0 nor the least integer.
struct SliceBounds {
    let from: Int?
    let to: Int?
    let step: Int

    init(from: Int?, to: Int?, step: Int) { (self.from, self.to, self.step) = (from, to, step) }

    /// The indices that are taken of a sequence.
    func indices(of count: Int) -> StrideTo<Int> {
        let (start, end) = ends(of: count)
        return stride(from: start, to: end, by: step)
    }

    /// The first of those indices, and the one behind the last.
    func ends(of count: Int) -> (start: Int, end: Int) {
        func clamp(_ bound: Int) -> Int {
            let at = bound < 0 ? bound + count : bound
            return step > 0 ? min(max(at, 0), count) : min(max(at, -1), count - 1)
        }
        return (from.map(clamp) ?? (step > 0 ? 0 : count - 1), to.map(clamp) ?? (step > 0 ? count : -1))
    }
}

extension StrideTo<Int> {
    fileprivate var count: Int { underestimatedCount }
}

extension PromptText {
    /// Short enough for an error message.
    var abbreviated: String { count <= 64 ? string : String(decoding: bytes.prefix(64), as: UTF8.self) + "…" }

    /// Bytes of the character that begins at an offset.
    func lengthOfScalar(at offset: Int) -> Int {
        switch bytes[offset] {
        case 0xf0...: 4
        case 0xe0...: 3
        case 0xc0...: 2
        default: 1
        }
    }

    func sliced(_ bounds: SliceBounds) -> PromptText {
        let indices = bounds.indices(of: scalarCount)
        if bounds.step == 1 {
            var iterator = indices.makeIterator()
            guard let first = iterator.next() else { return PromptText() }
            let start = offset(ofScalar: first)
            guard let to = bounds.to else { return slice(start..<count) }
            let characters = scalarCount
            let end = offset(ofScalar: min(max(to < 0 ? to + characters : to, 0), characters))
            return slice(start..<max(start, end))
        }
        let elements = elements
        var result = PromptText()
        for index in indices { result.append(bytes[elements[index].range], isUser: elements[index].isUser) }
        return result
    }
}
