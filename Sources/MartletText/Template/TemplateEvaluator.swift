// SPDX-License-Identifier: Apache-2.0

import OrderedCollections

/// Items that can be read once, and why there are no more.
struct TemplateIterator {
    var items: ArraySlice<TemplateValue>
    var fault: TemplateError?
}

/// Variables by name. A macro keeps those that it sees, and sees what becomes of them later.
final class TemplateScope {
    fileprivate(set) var values: [String: TemplateValue]
    /// Whether a macro keeps it, so that its names are accounted for.
    var isKept = false

    init(_ values: [String: TemplateValue] = [:]) { self.values = values }
}

/// Runs statements over a context, within a budget.
///
/// A class, because evaluating an operand changes the tables and budgets that the operation around it goes on with.
final class TemplateEvaluator {
    private enum Flow { case next, breakLoop, continueLoop }

    let budget: TemplateBudget
    private let deadline: ContinuousClock.Instant?
    private var stepsLeft: Int
    private var bytesLeft: Int
    /// Steps since the clock was read.
    private var unwatchedSteps = 0
    /// Variables, those of the innermost scope last. The first are the template's own.
    var scopes: [TemplateScope]
    /// Macros that were defined, and the scopes that each was defined in but for the first.
    var macros: [(macro: TemplateMacro, scopes: [TemplateScope])] = []
    /// Statements and expressions that are being evaluated, one in another.
    private var nesting = 0
    var namespaces: [OrderedDictionary<PromptText, TemplateValue>] = []
    /// What is left of each iterator.
    var iterators: [TemplateIterator] = []
    private(set) var output = PromptText()
    /// Seconds since 1970 for `strftime_now`.
    let now: Int
    /// The line of what is evaluated, for error messages.
    var line = 0

    init(
        context: [String: TemplateValue], budget: TemplateBudget, now: Int, deadline: ContinuousClock.Instant? = nil
    ) {
        self.budget = budget
        self.now = now
        self.deadline = deadline
        stepsLeft = budget.steps
        bytesLeft = budget.bytes
        scopes = [TemplateScope(context)]
    }

    func run(_ statements: [TemplateStatement]) throws(TemplateError) { _ = try execute(statements) }

    func fault(_ code: TemplateError.Code, _ message: String, needsMoreBudget: Bool = false) -> TemplateError {
        TemplateError(code, message, line: line, needsMoreBudget: needsMoreBudget)
    }

    // MARK: Budget

    /// Runs `body` one level deeper. Macros may call themselves, so the source's nesting doesn't bound this one.
    func nested<Result>(_ body: () throws(TemplateError) -> Result) throws(TemplateError) -> Result {
        nesting += 1
        defer { nesting -= 1 }
        guard nesting <= budget.evaluationDepth else {
            throw fault(.budgetExceeded, "macros call each other more than \(budget.evaluationDepth) levels deep")
        }
        return try body()
    }

    func step(_ count: Int = 1) throws(TemplateError) {
        stepsLeft -= count
        unwatchedSteps += count
        guard stepsLeft >= 0 else {
            throw fault(.budgetExceeded, "more than \(budget.steps) steps", needsMoreBudget: true)
        }
        guard unwatchedSteps >= 1024, let deadline else { return }
        unwatchedSteps = 0
        guard ContinuousClock.now < deadline else { throw fault(.timedOut, "rendering takes too long") }
    }

    /// What is done with each byte of a text that is read.
    enum ReadingCost: Int {
        /// It is compared or copied.
        case bytes = 1
        /// It is hashed, or characters are told apart by their numbers.
        case characters = 8
        /// Characters are looked up, or made into texts of their own.
        case properties = 64
    }

    /// Accounts for reading bytes of text.
    func read(bytes: Int, by cost: ReadingCost = .bytes) throws(TemplateError) {
        let (product, overflow) = bytes.multipliedReportingOverflow(by: cost.rawValue)
        try step(1 + (overflow ? Int.max : product) / 256)
    }

    /// Accounts for reading items of a list or mapping.
    func read(items: Int) throws(TemplateError) { try step(1 + items / 16) }

    /// Accounts for memory of a string or list about to be made.
    func spend(_ bytes: Int) throws(TemplateError) {
        let (left, overflow) = bytesLeft.subtractingReportingOverflow(bytes)
        guard !overflow, left >= 0 else { throw textExceeded }
        bytesLeft = left
    }

    /// The same of several pieces of a size.
    func spend(_ count: Int, times size: Int) throws(TemplateError) {
        let (bytes, overflow) = count.multipliedReportingOverflow(by: size)
        try spend(overflow ? Int.max : bytes)
    }

    private var textExceeded: TemplateError {
        fault(.budgetExceeded, "more than \(budget.bytes) bytes of text", needsMoreBudget: true)
    }

    /// Keeps a list or mapping that was made from nesting too deep to be walked or freed.
    func admitted(_ value: TemplateValue) throws(TemplateError) -> TemplateValue {
        guard value.depth <= budget.depth else {
            throw fault(.budgetExceeded, "a value nests more than \(budget.depth) deep")
        }
        return value
    }

    // MARK: Making values

    /// A value as text, within what is left of the budget.
    func text(of value: TemplateValue) throws(TemplateError) -> PromptText {
        guard let text = value.text(limit: bytesLeft) else { throw textExceeded }
        if case .string = value { try step() } else { try read(bytes: text.count, by: .properties) }
        return text
    }

    func string(_ value: PromptText) throws(TemplateError) -> TemplateValue {
        try spend(value.count)
        try read(bytes: value.count)
        return .string(value)
    }

    /// A list, accounted for. Every list that evaluation makes is made here.
    func list(_ items: [TemplateValue], kind: TemplateList.Kind = .list) throws(TemplateError) -> TemplateValue {
        try spend(items.count, times: 16)
        try read(items: items.count)
        return try admitted(.list(TemplateList(items, kind: kind)))
    }

    func list(_ pieces: [PromptText]) throws(TemplateError) -> TemplateValue {
        for piece in pieces { try spend(piece.count) }
        return try list(pieces.map { .string($0) })
    }

    func mapping(_ items: OrderedDictionary<TemplateKey, TemplateValue>) throws(TemplateError) -> TemplateValue {
        try spend(items.count, times: 32)
        try read(items: items.count)
        return try admitted(.dictionary(TemplateMapping(items)))
    }

    /// Items that can be read once.
    func iterator(_ items: [TemplateValue]) throws(TemplateError) -> TemplateValue {
        try iterator { (add) throws(TemplateError) in
            for item in items { add(item) }
        }
    }

    /// The items that `body` adds. Jinja makes them as they are read, so what is wrong with one is said where it is.
    func iterator(
        _ body: ((TemplateValue) -> Void) throws(TemplateError) -> Void
    ) throws(TemplateError) -> TemplateValue {
        var items: [TemplateValue] = []
        var fault: TemplateError?
        do throws(TemplateError) { try body { items.append($0) } } catch {
            guard error.code == .type || error.code == .undefined else { throw error }
            fault = error
        }
        _ = try list(items)
        try spend(64)
        iterators.append(TemplateIterator(items: items[...], fault: fault))
        return .iterator(iterators.count - 1)
    }

    /// The next item of an iterator; nil behind the last one.
    func next(of iterator: Int) throws(TemplateError) -> TemplateValue? {
        if let item = iterators[iterator].items.popFirst() { return item }
        if let fault = iterators[iterator].fault {
            iterators[iterator].fault = nil
            throw fault
        }
        return nil
    }

    func namespace(
        _ attributes: OrderedDictionary<PromptText, TemplateValue>
    ) throws(TemplateError) -> TemplateValue {
        try spend(64 + attributes.count * 32)
        namespaces.append(attributes)
        return .namespace(namespaces.count - 1)
    }

    func json(of value: TemplateValue, _ configure: (inout TemplateJSON) -> Void) throws(TemplateError) -> PromptText {
        var writer = TemplateJSON(limit: bytesLeft)
        configure(&writer)
        var failure: TemplateError?
        do throws(TemplateJSON.NotSerializable) {
            if !(try writer.write(value)) { failure = textExceeded }
        } catch {
            failure = fault(.type, "\(error.typeName) has no JSON")
        }
        // What was written before a fault took its time, too.
        try read(bytes: writer.text.count, by: .properties)
        if let failure { throw failure }
        return writer.text
    }

    /// A mapping's entries as pairs.
    func pairs(of items: TemplateMapping) throws(TemplateError) -> [TemplateValue] {
        try spend(items.count, times: 48)
        try read(items: items.count)
        return items.map { .list(TemplateList([$0.key.value, $0.value], kind: .tuple)) }
    }

    /// Texts with a separator between, spent as they are joined.
    func join(_ items: [TemplateValue], by separator: PromptText) throws(TemplateError) -> TemplateValue {
        var result = PromptText()
        for (index, item) in items.enumerated() {
            let piece = try text(of: item)
            let bytes = piece.count + (index > 0 ? separator.count : 0)
            try spend(bytes)
            try read(bytes: bytes)
            if index > 0 { result.append(separator) }
            result.append(piece)
        }
        return .string(result)
    }

    // MARK: Names

    func lookUp(_ name: String) -> TemplateValue? {
        for scope in scopes.reversed() {
            if let value = scope.values[name] { return value }
        }
        return nil
    }

    func assign(_ name: String, _ value: TemplateValue) throws(TemplateError) {
        try assign(name, value, in: scopes[scopes.count - 1])
    }

    func assign(_ name: String, _ value: TemplateValue, in scope: TemplateScope) throws(TemplateError) {
        if scope.isKept, scope.values[name] == nil { try spend(Self.bytesOfName) }
        scope.values[name] = value
    }

    /// Bytes that a name takes in a scope.
    static let bytesOfName = 64

    private func assign(_ target: TemplateTarget, _ value: TemplateValue) throws(TemplateError) {
        switch target {
        case .names(let names): try assign(names, value)
        case .attribute(let attribute, let name):
            guard case .namespace(let index)? = lookUp(name) else { throw fault(.type, "\(name) is not a namespace") }
            try spend(32)
            namespaces[index][attribute] = value
        }
    }

    private func assign(_ names: [String], _ value: TemplateValue) throws(TemplateError) {
        if names.count == 1 { return try assign(names[0], value) }
        let items = try iterate(value)
        guard items.count == names.count else {
            throw fault(.type, "can't unpack \(items.count) values into \(names.count) names")
        }
        for (name, item) in zip(names, items) { try assign(name, item) }
    }

    // MARK: Statements

    private func execute(_ statements: [TemplateStatement]) throws(TemplateError) -> Flow {
        for statement in statements {
            line = statement.line
            try step()
            let flow = try nested { () throws(TemplateError) in try execute(statement) }
            if flow != .next { return flow }
        }
        return .next
    }

    private func execute(_ statement: TemplateStatement) throws(TemplateError) -> Flow {
        switch statement.kind {
        case .text(let text): try write(PromptText(text))
        case .output(let expression): try write(text(of: evaluate(expression)))
        case .branch(let branches, let otherwise):
            for branch in branches where try evaluate(branch.condition).isTrue { return try execute(branch.body) }
            return try execute(otherwise)
        case .loop(let names, let sequence, let filter, let body, let otherwise):
            let items = try iterate(evaluate(sequence))
            return try loop(names, items, filter, body, otherwise)
        case .assign(let target, let expression): try assign(target, evaluateKeepingMarkup(expression))
        case .capture(let target, let body, let filters):
            let (text, flow) = try capture(body)
            try assign(target, apply(filters, to: text))
            return flow
        case .filtered(let filters, let body):
            let (result, flow) = try capture(body)
            try write(text(of: apply(filters, to: result)))
            return flow
        case .macro(let macro):
            let value = try define(macro)
            if let name = macro.name { try assign(name, value) }
        case .callBlock(let callee, let arguments, let caller):
            var evaluated = try evaluate(arguments)
            evaluated.named.append(("caller", try define(caller)))
            try write(text(of: call(evaluate(callee), evaluated)))
        case .with(let values, let body):
            let scope = TemplateScope()
            for (name, value) in values { try assign(name, evaluate(value), in: scope) }
            scopes.append(scope)
            let flow = try execute(body)
            scopes.removeLast()
            return flow
        case .breakLoop: return .breakLoop
        case .continueLoop: return .continueLoop
        }
        return .next
    }

    /// What statements write, in a scope of their own.
    private func capture(_ body: [TemplateStatement]) throws(TemplateError) -> (text: TemplateValue, flow: Flow) {
        scopes.append(TemplateScope())
        defer { scopes.removeLast() }
        return try written(by: body)
    }

    /// What statements write in the innermost scope.
    private func written(by body: [TemplateStatement]) throws(TemplateError) -> (text: TemplateValue, flow: Flow) {
        let outside = output
        output = PromptText()
        defer { output = outside }
        let flow = try execute(body)
        return (.string(output), flow)
    }

    /// What a macro writes in scopes that replace the present ones.
    func written(
        by macro: TemplateMacro, in inner: [TemplateScope], binding bind: () throws(TemplateError) -> Void
    ) throws(TemplateError) -> TemplateValue {
        let outside = scopes
        scopes = inner
        defer { scopes = outside }
        try bind()
        return try written(by: macro.body).text
    }

    private func apply(
        _ filters: [(name: String, TemplateArguments)], to text: TemplateValue
    ) throws(TemplateError) -> TemplateValue {
        var value = text
        for (filter, arguments) in filters {
            value = try applyFilter(filter, to: value.withoutMarkup, evaluate(arguments))
        }
        return value
    }

    private func write(_ text: PromptText) throws(TemplateError) {
        try spend(text.count)
        try read(bytes: text.count)
        output.append(text)
    }

    private func loop(
        _ names: [String], _ all: [TemplateValue], _ filter: TemplateExpression?, _ body: [TemplateStatement],
        _ otherwise: [TemplateStatement]
    ) throws(TemplateError) -> Flow {
        let scope = TemplateScope()
        scopes.append(scope)
        defer { scopes.removeLast() }
        var items = all
        if let filter {
            items = []
            for item in all {
                try assign(names, item)
                if try evaluate(filter).isTrue { items.append(item) }
            }
        }
        var hasCompletedTurn = false
        for index in items.indices {
            try step()
            scope.values = [:]
            try assign("loop", .loop(TemplateLoop(index: index, of: items)))
            try assign(names, items[index])
            let flow = try execute(body)
            if flow == .breakLoop { break }
            if flow == .next { hasCompletedTurn = true }
        }
        // As in Jinja, turns that break or continue don't count.
        if hasCompletedTurn { return .next }
        // A break in the else belongs to a loop around this one.
        scope.values = [:]
        return try execute(otherwise)
    }

    /// What a loop over the value visits. An iterator has nothing left after that.
    func iterate(_ value: TemplateValue) throws(TemplateError) -> [TemplateValue] {
        switch value {
        case .list(let items):
            try read(items: items.count)
            return items.items
        case .dictionary(let items):
            try spend(items.count, times: 16)
            try read(items: items.count)
            return items.map(\.key.value)
        case .undefined: return []
        case .string(let text):
            try spend(text.count, times: 16)
            try read(bytes: text.count, by: .properties)
            return text.elements.map { .string(text.text(of: $0)) }
        case .iterator(let index):
            let items = Array(iterators[index].items)
            iterators[index].items = []
            try read(items: items.count)
            if let fault = iterators[index].fault { throw fault }
            return items
        default: throw fault(.type, "can't loop over \(value.typeName)")
        }
    }
}
