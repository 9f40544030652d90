// SPDX-License-Identifier: Apache-2.0

import OrderedCollections

/// Statements from tokens; expressions are in `TemplateParser+Expressions.swift`.
struct TemplateParser {
    private let tokens: [LocatedToken]
    private var index = 0
    private let maximumDepth: Int
    private var depth = 0
    private var loopDepth = 0
    /// Names that the template itself gives values, which may be macros.
    private var assigned: Set<String> = []
    /// Names that are called, each with the line of its first call.
    private var called: OrderedDictionary<String, Int> = [:]
    /// Methods that no value here has and that are called, of what name; empty for no name. A namespace may hold macros.
    private var calledMethods: [(base: String, method: String, line: Int)] = []
    /// Which of a macro's implied names were read since the innermost macro began.
    private var impliedReads: Set<String> = []
    /// Names that the template uses and the interpreter doesn't have, each with its line, in order of appearance.
    private(set) var missing: [TemplateError] = []

    static func parse(
        _ tokens: [LocatedToken], maximumDepth: Int
    ) throws(TemplateError) -> (statements: [TemplateStatement], missing: [TemplateError]) {
        var parser = TemplateParser(tokens: tokens, maximumDepth: maximumDepth)
        let (statements, terminator) = try parser.parseBody(until: [])
        if let terminator {
            throw TemplateError(.syntax, "\(terminator) has nothing to end", line: parser.line)
        }
        for (name, line) in parser.called where !parser.assigned.contains(name) {
            parser.note(missing: "the function \(name) is not supported", line: line)
        }
        for call in parser.calledMethods where !parser.assigned.contains(call.base) {
            parser.note(missing: "the method \(call.method) is not supported", line: call.line)
        }
        return (statements, parser.missing)
    }

    private init(tokens: [LocatedToken], maximumDepth: Int) {
        self.tokens = tokens
        self.maximumDepth = maximumDepth
    }

    var line: Int { tokens[min(index, tokens.count - 1)].line }
    var current: TemplateToken { index < tokens.count ? tokens[index].token : .end }

    /// The token behind the current one.
    var next: TemplateToken { index + 1 < tokens.count ? tokens[index + 1].token : .end }

    mutating func advance() { index += 1 }

    mutating func accept(_ symbol: String) -> Bool {
        guard current == .symbol(symbol) else { return false }
        advance()
        return true
    }

    mutating func acceptName(_ name: String) -> Bool {
        guard current == .name(name) else { return false }
        advance()
        return true
    }

    mutating func expect(_ token: TemplateToken, _ what: String) throws(TemplateError) {
        guard current == token else { throw TemplateError(.syntax, "expected \(what)", line: line) }
        advance()
    }

    mutating func expectAnyName(_ what: String) throws(TemplateError) -> String {
        guard case .name(let name) = current else { throw TemplateError(.syntax, "expected \(what)", line: line) }
        advance()
        return name
    }

    /// Notes that an expression reads a name.
    mutating func noteRead(of name: String) {
        if TemplateMacro.impliedNames.contains(name) { impliedReads.insert(name) }
    }

    /// Notes that an expression calls a name, which the template must give a value somewhere.
    mutating func noteCall(of name: String, line: Int) {
        let isKnown = TemplateFunctions.all[name] != nil || TemplateMacro.impliedNames.contains(name)
        if !isKnown, called[name] == nil { called[name] = line }
    }

    /// Notes that an expression calls a method that no value has.
    mutating func noteUnknownMethod(_ method: String, of base: TemplateExpression, line: Int) {
        guard calledMethods.count < 64 else { return }
        if case .name(let name) = base.kind {
            calledMethods.append((name, method, line))
        } else {
            calledMethods.append(("", method, line))
        }
    }

    /// Notes a filter, test, function or method that the interpreter doesn't have.
    mutating func note(missing message: String, line: Int) {
        let error = TemplateError(.unsupported, message, line: line)
        if missing.count < 64, !missing.contains(where: { $0.message == message }) { missing.append(error) }
    }

    /// The end of a statement that has a body, in front of which Jinja permits a colon.
    private mutating func expectBody() throws(TemplateError) {
        _ = accept(":")
        try expect(.statementEnd, "%}")
    }

    /// Runs `body` one level deeper; the limit keeps recursion off the end of the stack.
    mutating func nested<Result>(
        _ body: (inout TemplateParser) throws(TemplateError) -> Result
    ) throws(TemplateError) -> Result {
        depth += 1
        defer { depth -= 1 }
        guard depth <= maximumDepth else {
            throw TemplateError(.budgetExceeded, "nested more than \(maximumDepth) deep", line: line)
        }
        return try body(&self)
    }

    /// Statements up to one of the terminators (its name consumed, the rest of its tag not), or the end.
    private mutating func parseBody(
        until terminators: Set<String>
    ) throws(TemplateError) -> (body: [TemplateStatement], terminator: String?) {
        var statements: [TemplateStatement] = []
        while true {
            let start = line
            switch current {
            case .end: return (statements, nil)
            case .text(let text):
                advance()
                statements.append(TemplateStatement(kind: .text(text), line: start))
            case .outputStart:
                advance()
                let expression = try parseTuple()
                try expect(.outputEnd, "}}")
                statements.append(TemplateStatement(kind: .output(expression), line: start))
            case .statementStart:
                advance()
                let keyword = try expectAnyName("a statement")
                if terminators.contains(keyword) { return (statements, keyword) }
                let kind = try nested { (parser) throws(TemplateError) in try parser.parseStatement(keyword) }
                statements.append(TemplateStatement(kind: kind, line: start))
            default: throw TemplateError(.syntax, "unexpected tag", line: start)
            }
        }
    }

    /// A body that must end with one of the terminators.
    private mutating func parseClosedBody(
        of keyword: String, until terminators: Set<String>
    ) throws(TemplateError) -> (body: [TemplateStatement], terminator: String) {
        let start = line
        let (body, terminator) = try parseBody(until: terminators)
        guard let terminator else { throw TemplateError(.syntax, "\(keyword) is never ended", line: start) }
        return (body, terminator)
    }

    private mutating func parseStatement(_ keyword: String) throws(TemplateError) -> TemplateStatement.Kind {
        switch keyword {
        case "if": return try parseIf()
        case "for": return try parseFor()
        case "set": return try parseSet()
        case "generation":
            // Marks an answer for training; it renders as its body.
            try expectBody()
            let (body, _) = try parseClosedBody(of: keyword, until: ["endgeneration"])
            try expect(.statementEnd, "%}")
            let always = try TemplateExpression(kind: .literal(.bool(true)), line: line)
            return .branch([(always, body)], otherwise: [])
        case "break", "continue":
            guard loopDepth > 0 else { throw TemplateError(.syntax, "\(keyword) outside of a loop", line: line) }
            try expect(.statementEnd, "%}")
            return keyword == "break" ? .breakLoop : .continueLoop
        case "macro": return try parseMacro()
        case "call": return try parseCallBlock()
        case "filter": return try parseFilterBlock()
        case "with": return try parseWith()
        case "include", "import", "from", "extends", "block", "autoescape", "do":
            throw TemplateError(.unsupported, "{% \(keyword) %} is not supported", line: line)
        default: throw TemplateError(.syntax, "unknown statement \(keyword)", line: line)
        }
    }

    private mutating func parseIf() throws(TemplateError) -> TemplateStatement.Kind {
        var branches: [(TemplateExpression, [TemplateStatement])] = []
        while true {
            let condition = try parseTuple(withConditional: false)
            try expectBody()
            let (body, terminator) = try parseClosedBody(of: "if", until: ["elif", "else", "endif"])
            branches.append((condition, body))
            switch terminator {
            case "elif": continue
            case "else":
                try expectBody()
                let (otherwise, _) = try parseClosedBody(of: "else", until: ["endif"])
                try expect(.statementEnd, "%}")
                return .branch(branches, otherwise: otherwise)
            default:
                try expect(.statementEnd, "%}")
                return .branch(branches, otherwise: [])
            }
        }
    }

    private mutating func parseFor() throws(TemplateError) -> TemplateStatement.Kind {
        loopDepth += 1
        let names = try parseTargets()
        loopDepth -= 1
        try expect(.name("in"), "in")
        // A conditional expression here would swallow the loop's own filter.
        let sequence = try parseTuple(withConditional: false)
        let filter = acceptName("if") ? try parseExpression() : nil
        if acceptName("recursive") {
            throw TemplateError(.unsupported, "recursive loops are not supported", line: line)
        }
        try expectBody()
        loopDepth += 1
        let (body, terminator) = try parseClosedBody(of: "for", until: ["else", "endfor"])
        loopDepth -= 1
        var otherwise: [TemplateStatement] = []
        if terminator == "else" {
            try expectBody()
            (otherwise, _) = try parseClosedBody(of: "else", until: ["endfor"])
        }
        try expect(.statementEnd, "%}")
        return .loop(names: names, over: sequence, filter: filter, body: body, otherwise: otherwise)
    }

    private mutating func parseSet() throws(TemplateError) -> TemplateStatement.Kind {
        let names = try parseTargets()
        var target = TemplateTarget.names(names)
        if names.count == 1, accept(".") {
            target = .attribute(PromptText(try expectAnyName("an attribute")), of: names[0])
        }
        if accept("=") {
            let value = try parseTuple()
            try expect(.statementEnd, "%}")
            return .assign(target, value)
        }
        guard names.count == 1 else { throw TemplateError(.syntax, "expected =", line: line) }
        var filters: [(name: String, TemplateArguments)] = []
        while accept("|") { filters.append(try parseFilterName()) }
        try expectBody()
        let (body, _) = try parseClosedBody(of: "set", until: ["endset"])
        try expect(.statementEnd, "%}")
        return .capture(target, body: body, filters: filters)
    }

    /// `name`, `name, name` or either in parentheses.
    private mutating func parseTargets() throws(TemplateError) -> [String] {
        let parenthesised = accept("(")
        var names = [try parseTarget()]
        while accept(",") { names.append(try parseTarget()) }
        if parenthesised { try expect(.symbol(")"), ")") }
        return names
    }

    private mutating func parseTarget() throws(TemplateError) -> String {
        if current == .symbol("(") {
            throw TemplateError(.unsupported, "targets in targets are not supported", line: line)
        }
        let name = try expectAnyName("a name")
        guard !["true", "false", "none", "True", "False", "None"].contains(name) else {
            throw TemplateError(.syntax, "can't assign to \(name)", line: line)
        }
        guard name != "loop" || loopDepth == 0 else {
            throw TemplateError(.syntax, "can't assign to loop in a loop", line: line)
        }
        assigned.insert(name)
        return name
    }

    // MARK: Macros

    private mutating func parseMacro() throws(TemplateError) -> TemplateStatement.Kind {
        let name = try parseTarget()
        try expect(.symbol("("), "(")
        return .macro(try parseMacroBody(name: name, parameters: parseParameters(), until: "endmacro"))
    }

    private mutating func parseCallBlock() throws(TemplateError) -> TemplateStatement.Kind {
        let parameters = accept("(") ? try parseParameters() : []
        let call = try parseExpression()
        guard case .call(let callee, let arguments) = call.kind else {
            throw TemplateError(.syntax, "expected a call", line: call.line)
        }
        let caller = try parseMacroBody(name: nil, parameters: parameters, until: "endcall")
        return .callBlock(callee, arguments, caller: caller)
    }

    /// After the opening parenthesis, through the closing one.
    private mutating func parseParameters() throws(TemplateError) -> [(name: String, fallback: TemplateExpression?)] {
        var parameters: [(name: String, fallback: TemplateExpression?)] = []
        while !accept(")") {
            if !parameters.isEmpty { try expect(.symbol(","), ",") }
            let name = try parseTarget()
            let fallback = accept("=") ? try parseExpression() : nil
            guard fallback != nil || parameters.last?.fallback == nil else {
                throw TemplateError(.syntax, "a parameter without a default behind one with a default", line: line)
            }
            guard parameters.count < 255, !parameters.contains(where: { $0.name == name }) else {
                throw TemplateError(.syntax, "the parameter \(name) is there twice, or one of too many", line: line)
            }
            parameters.append((name, fallback))
        }
        return parameters
    }

    private mutating func parseMacroBody(
        name: String?, parameters: [(name: String, fallback: TemplateExpression?)], until terminator: String
    ) throws(TemplateError) -> TemplateMacro {
        let (outerReads, outerLoops) = (impliedReads, loopDepth)
        (impliedReads, loopDepth) = ([], 0)
        try expectBody()
        let (body, _) = try parseClosedBody(of: String(terminator.dropFirst(3)), until: [terminator])
        try expect(.statementEnd, "%}")
        // A parameter of such a name is none of those.
        let reads = impliedReads.subtracting(parameters.map(\.name))
        let macro = TemplateMacro(name: name, parameters: parameters, body: body, reads: reads)
        loopDepth = outerLoops
        impliedReads.formUnion(outerReads)
        return macro
    }

    private mutating func parseFilterBlock() throws(TemplateError) -> TemplateStatement.Kind {
        var filters = [try parseFilterName()]
        while accept("|") { filters.append(try parseFilterName()) }
        try expectBody()
        let (body, _) = try parseClosedBody(of: "filter", until: ["endfilter"])
        try expect(.statementEnd, "%}")
        return .filtered(filters, body: body)
    }

    private mutating func parseWith() throws(TemplateError) -> TemplateStatement.Kind {
        var values: [(name: String, value: TemplateExpression)] = []
        while current != .statementEnd, current != .symbol(":") {
            if !values.isEmpty { try expect(.symbol(","), ",") }
            let name = try parseTarget()
            try expect(.symbol("="), "=")
            values.append((name, try parseExpression()))
        }
        try expectBody()
        let (body, _) = try parseClosedBody(of: "with", until: ["endwith"])
        try expect(.statementEnd, "%}")
        return .with(values, body: body)
    }
}
