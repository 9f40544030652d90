// SPDX-License-Identifier: Apache-2.0

import OrderedCollections

/// Runs statements over a context, within a budget.
struct TemplateEvaluator {
    private enum Flow { case next, breakLoop, continueLoop }

    let budget: TemplateBudget
    private var stepsLeft: Int
    private var bytesLeft: Int
    private var scopes: [[String: TemplateValue]]
    var namespaces: [OrderedDictionary<String, TemplateValue>] = []
    private(set) var output = ""
    /// Seconds since 1970 for `strftime_now`.
    let now: Int

    init(context: [String: TemplateValue], budget: TemplateBudget, now: Int) {
        self.budget = budget
        self.now = now
        stepsLeft = budget.steps
        bytesLeft = budget.bytes
        scopes = [context]
    }

    mutating func run(_ statements: [TemplateStatement]) throws(TemplateError) {
        _ = try execute(statements)
    }

    // MARK: Budget

    mutating func step(line: Int) throws(TemplateError) {
        stepsLeft -= 1
        guard stepsLeft >= 0 else {
            throw TemplateError(.budgetExceeded, "more than \(budget.steps) steps", line: line)
        }
    }

    /// Accounts for a string or list about to be made.
    mutating func spend(_ bytes: Int, line: Int) throws(TemplateError) {
        let (left, overflow) = bytesLeft.subtractingReportingOverflow(bytes)
        guard !overflow, left >= 0 else {
            throw textExceeded(line)
        }
        bytesLeft = left
    }

    /// Accounts for looking through that many bytes at once.
    mutating func scan(_ bytes: Int, line: Int) throws(TemplateError) {
        stepsLeft -= bytes / 256
        try step(line: line)
    }

    /// Accounts for a list or mapping that was made, and keeps it from nesting too deep to be walked or freed.
    func admitted(_ value: TemplateValue, line: Int) throws(TemplateError) -> TemplateValue {
        guard value.depth <= budget.depth else {
            throw TemplateError(.budgetExceeded, "a value nests more than \(budget.depth) deep", line: line)
        }
        return value
    }

    /// A value as text, within what is left of the budget.
    func text(of value: TemplateValue, line: Int) throws(TemplateError) -> String {
        guard let text = value.text(limit: bytesLeft) else { throw textExceeded(line) }
        return text
    }

    func json(of value: TemplateValue, indent: Int?, line: Int) throws(TemplateError) -> String {
        guard let text = value.json(indent: indent, limit: bytesLeft) else { throw textExceeded(line) }
        return text
    }

    private func textExceeded(_ line: Int) -> TemplateError {
        TemplateError(.budgetExceeded, "more than \(budget.bytes) bytes of text", line: line)
    }

    /// A list, accounted for. Every list that evaluation makes is made here.
    mutating func list(_ items: [TemplateValue], line: Int) throws(TemplateError) -> TemplateValue {
        try spend(items.count * 16, line: line)
        return .list(TemplateList(items))
    }

    /// A mapping's entries as pairs.
    mutating func pairs(of items: TemplateMapping, line: Int) throws(TemplateError) -> TemplateValue {
        // The pairs' own elements; the list of them is spent as any other.
        try spend(items.count * 32, line: line)
        return try list(items.map { .list([.string($0.key), $0.value]) }, line: line)
    }

    /// The texts with a separator between, spent as they are joined.
    mutating func join(_ items: [TemplateValue], by separator: String, line: Int) throws(TemplateError) -> TemplateValue
    {
        var result = ""
        for (index, item) in items.enumerated() {
            let piece = (index > 0 ? separator : "") + (try text(of: item, line: line))
            try spend(piece.utf8.count, line: line)
            result += piece
        }
        return .string(result)
    }

    mutating func string(_ value: String, line: Int) throws(TemplateError) -> TemplateValue {
        try spend(value.utf8.count, line: line)
        return .string(value)
    }

    // MARK: Names

    func lookUp(_ name: String) -> TemplateValue? {
        for scope in scopes.reversed() {
            if let value = scope[name] { return value }
        }
        return nil
    }

    private mutating func assign(_ name: String, _ value: TemplateValue) {
        scopes[scopes.count - 1][name] = value
    }

    private mutating func assign(_ names: [String], _ value: TemplateValue, line: Int) throws(TemplateError) {
        if names.count == 1 { return assign(names[0], value) }
        guard case .list(let items) = value, items.count == names.count else {
            throw TemplateError(.type, "can't unpack \(value.typeName) into \(names.count) names", line: line)
        }
        for (name, item) in zip(names, items) { assign(name, item) }
    }

    // MARK: Statements

    private mutating func execute(_ statements: [TemplateStatement]) throws(TemplateError) -> Flow {
        for statement in statements {
            try step(line: statement.line)
            let flow = try execute(statement)
            if flow != .next { return flow }
        }
        return .next
    }

    private mutating func execute(_ statement: TemplateStatement) throws(TemplateError) -> Flow {
        let line = statement.line
        switch statement.kind {
        case .text(let text): try write(text, line: line)
        case .output(let expression):
            let value = try evaluate(expression)
            try write(text(of: value, line: line), line: line)
        case .branch(let branches, let otherwise):
            for branch in branches where try evaluate(branch.condition).isTrue { return try execute(branch.body) }
            return try execute(otherwise)
        case .loop(let names, let sequence, let filter, let body, let otherwise):
            let items = try iterate(evaluate(sequence), line: line)
            return try loop(names, items, filter, body, otherwise, line: line)
        case .assign(let names, let expression): try assign(names, evaluate(expression), line: line)
        case .assignAttribute(let name, let attribute, let expression):
            guard case .namespace(let index)? = lookUp(name) else {
                throw TemplateError(.type, "\(name) is not a namespace", line: line)
            }
            namespaces[index][attribute] = try evaluate(expression)
        case .capture(let name, let body):
            let outside = output
            output = ""
            scopes.append([:])
            let flow = try execute(body)
            scopes.removeLast()
            assign(name, .string(output))
            output = outside
            return flow
        case .breakLoop: return .breakLoop
        case .continueLoop: return .continueLoop
        }
        return .next
    }

    private mutating func write(_ text: String, line: Int) throws(TemplateError) {
        try spend(text.utf8.count, line: line)
        output += text
    }

    private mutating func loop(
        _ names: [String], _ all: [TemplateValue], _ filter: TemplateExpression?, _ body: [TemplateStatement],
        _ otherwise: [TemplateStatement], line: Int
    ) throws(TemplateError) -> Flow {
        scopes.append([:])
        defer { scopes.removeLast() }
        var items = all
        if let filter {
            items = []
            for item in all {
                try assign(names, item, line: line)
                if try evaluate(filter).isTrue { items.append(item) }
            }
        }
        for (index, item) in items.enumerated() {
            try step(line: line)
            scopes[scopes.count - 1].removeAll(keepingCapacity: true)
            assign("loop", Self.loopVariable(index, items))
            try assign(names, item, line: line)
            if try execute(body) == .breakLoop { break }
        }
        // A break in the else belongs to a loop around this one.
        return items.isEmpty ? try execute(otherwise) : .next
    }

    private static func loopVariable(_ index: Int, _ items: [TemplateValue]) -> TemplateValue {
        let count = items.count
        return .dictionary([
            "index": .integer(index + 1), "index0": .integer(index),
            "revindex": .integer(count - index), "revindex0": .integer(count - index - 1),
            "first": .bool(index == 0), "last": .bool(index == count - 1), "length": .integer(count),
            "previtem": index > 0 ? items[index - 1] : .undefined("previtem"),
            "nextitem": index + 1 < count ? items[index + 1] : .undefined("nextitem"),
        ])
    }

    /// What a loop over the value visits.
    mutating func iterate(_ value: TemplateValue, line: Int) throws(TemplateError) -> [TemplateValue] {
        switch value {
        case .list(let items): return Array(items)
        case .dictionary(let items): return items.map { .string($0.key) }
        case .undefined: return []
        case .string(let text):
            try spend(text.utf8.count, line: line)
            return text.unicodeScalars.map { .string(String(Character($0))) }
        default: throw TemplateError(.type, "can't loop over \(value.typeName)", line: line)
        }
    }
}
