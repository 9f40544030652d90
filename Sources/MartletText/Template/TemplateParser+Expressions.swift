// SPDX-License-Identifier: Apache-2.0

// Jinja's precedence, loosest first: conditional, or, and, not, comparison, + -, ~, * / // %, **, unary with its
// filters and tests, postfix.
extension TemplateParser {
    mutating func parseExpression() throws(TemplateError) -> TemplateExpression {
        try nested { (parser) throws(TemplateError) in try parser.parseConditional() }
    }

    /// An expression, or several with commas between as a tuple.
    mutating func parseTuple(withConditional: Bool = true) throws(TemplateError) -> TemplateExpression {
        let start = line
        func parseItem(_ parser: inout TemplateParser) throws(TemplateError) -> TemplateExpression {
            guard !withConditional else { return try parser.parseExpression() }
            return try parser.nested { (parser) throws(TemplateError) in try parser.parseOr() }
        }
        let first = try parseItem(&self)
        guard current == .symbol(",") else { return first }
        var items = [first]
        while accept(","), !endsTuple { items.append(try parseItem(&self)) }
        return try TemplateExpression(kind: .list(items, isTuple: true), line: start)
    }

    private var endsTuple: Bool {
        [.statementEnd, .outputEnd, .symbol(")"), .name("recursive"), .symbol(":")].contains(current)
    }

    private mutating func parseConditional() throws(TemplateError) -> TemplateExpression {
        let start = line
        var expression = try parseOr()
        while acceptName("if") {
            let condition = try parseOr()
            let otherwise = acceptName("else") ? try parseExpression() : nil
            expression = try TemplateExpression(
                kind: .conditional(condition: condition, then: expression, otherwise: otherwise), line: start)
        }
        return expression
    }

    private mutating func parseOr() throws(TemplateError) -> TemplateExpression {
        let start = line
        var left = try parseAnd()
        while acceptName("or") { left = try TemplateExpression(kind: .or(left, parseAnd()), line: start) }
        return left
    }

    private mutating func parseAnd() throws(TemplateError) -> TemplateExpression {
        let start = line
        var left = try parseNot()
        while acceptName("and") { left = try TemplateExpression(kind: .and(left, parseNot()), line: start) }
        return left
    }

    private mutating func parseNot() throws(TemplateError) -> TemplateExpression {
        let start = line
        guard acceptName("not") else { return try parseComparison() }
        let operand = try nested { (parser) throws(TemplateError) in try parser.parseNot() }
        return try TemplateExpression(kind: .not(operand), line: start)
    }

    private mutating func parseComparison() throws(TemplateError) -> TemplateExpression {
        let start = line
        let left = try parseSum()
        var rest: [(symbol: String, right: TemplateExpression)] = []
        while true {
            if case .symbol(let symbol) = current, ["==", "!=", "<", ">", "<=", ">="].contains(symbol) {
                advance()
                rest.append((symbol, try parseSum()))
            } else if acceptName("in") {
                rest.append(("in", try parseSum()))
            } else if current == .name("not"), next == .name("in") {
                advance()
                advance()
                rest.append(("not in", try parseSum()))
            } else {
                break
            }
        }
        return try rest.isEmpty ? left : TemplateExpression(kind: .comparison(left, rest), line: start)
    }

    private mutating func parseSum() throws(TemplateError) -> TemplateExpression {
        try parseBinary(["+", "-"]) { (parser) throws(TemplateError) in
            try parser.parseBinary(["~"]) { (parser) throws(TemplateError) in
                try parser.parseBinary(["*", "/", "//", "%"]) { (parser) throws(TemplateError) in
                    try parser.parsePower()
                }
            }
        }
    }

    private mutating func parseBinary(
        _ operators: Set<String>, operand: (inout TemplateParser) throws(TemplateError) -> TemplateExpression
    ) throws(TemplateError) -> TemplateExpression {
        let start = line
        var left = try operand(&self)
        while case .symbol(let symbol) = current, operators.contains(symbol) {
            advance()
            left = try TemplateExpression(kind: .binary(left, symbol, operand(&self)), line: start)
        }
        return left
    }

    private mutating func parsePower() throws(TemplateError) -> TemplateExpression {
        try parseBinary(["**"]) { (parser) throws(TemplateError) in try parser.parseUnary(withFilters: true) }
    }

    /// Filters and tests apply to the sign and all: `-3 | abs` is 3.
    private mutating func parseUnary(withFilters: Bool) throws(TemplateError) -> TemplateExpression {
        let start = line
        var expression: TemplateExpression
        if accept("-") {
            let operand = try nested { (parser) throws(TemplateError) in try parser.parseUnary(withFilters: false) }
            expression = try TemplateExpression(kind: .negative(operand), line: start)
        } else if accept("+") {
            let operand = try nested { (parser) throws(TemplateError) in try parser.parseUnary(withFilters: false) }
            expression = try TemplateExpression(kind: .positive(operand), line: start)
        } else {
            expression = try parsePostfix(of: parsePrimary(), line: start)
        }
        while withFilters {
            if accept("|") {
                let (name, arguments) = try parseFilterName()
                expression = try TemplateExpression(kind: .filter(expression, name, arguments), line: start)
            } else if acceptName("is") {
                expression = try parseTest(of: expression, line: start)
            } else if accept("(") {
                expression = try parseCall(of: expression, line: start)
            } else {
                break
            }
        }
        return expression
    }

    private mutating func parsePostfix(
        of primary: TemplateExpression, line start: Int
    ) throws(TemplateError) -> TemplateExpression {
        var expression = primary
        while true {
            if accept(".") {
                if case .integer(let number) = current {
                    advance()
                    let index = try TemplateExpression(kind: .literal(.integer(number)), line: start)
                    expression = try TemplateExpression(kind: .index(expression, index), line: start)
                } else {
                    let name = try expectAnyName("an attribute")
                    expression = try TemplateExpression(kind: .attribute(expression, PromptText(name)), line: start)
                }
            } else if accept("[") {
                expression = try parseSubscript(of: expression, line: start)
            } else if accept("(") {
                expression = try parseCall(of: expression, line: start)
            } else {
                return expression
            }
        }
    }

    /// After the opening parenthesis.
    private mutating func parseCall(
        of callee: TemplateExpression, line start: Int
    ) throws(TemplateError) -> TemplateExpression {
        switch callee.kind {
        case .name(let name): noteCall(of: name, line: start)
        case .attribute(let base, let name) where !TemplateMethods.names.contains(name):
            noteUnknownMethod(name.string, of: base, line: start)
        default: break
        }
        return try TemplateExpression(kind: .call(callee, parseArguments()), line: start)
    }

    /// A filter's name and its arguments, after the bar.
    mutating func parseFilterName() throws(TemplateError) -> (name: String, TemplateArguments) {
        let start = line
        let name = try parseDottedName("a filter")
        let arguments = accept("(") ? try parseArguments() : TemplateArguments()
        if TemplateFilters.all[name] == nil { note(missing: "the filter \(name) is not supported", line: start) }
        for case .literal(.string(let mapped)) in arguments.positional.prefix(1).map(\.kind)
        where name == "map" && TemplateFilters.all[mapped.string] == nil {
            note(missing: "the filter \(mapped.string) is not supported", line: start)
        }
        return (name, arguments)
    }

    private mutating func parseDottedName(_ what: String) throws(TemplateError) -> String {
        var name = try expectAnyName(what)
        while accept(".") { name += "." + (try expectAnyName(what)) }
        return name
    }

    private mutating func parseTest(
        of expression: TemplateExpression, line start: Int
    ) throws(TemplateError) -> TemplateExpression {
        let negated = acceptName("not")
        let name = try parseDottedName("a test")
        var arguments = TemplateArguments()
        if accept("(") {
            arguments = try parseArguments()
        } else {
            // `x is divisibleby 3`: one argument may stand bare.
            switch current {
            case .name("else"), .name("or"), .name("and"): break
            case .name("is"): throw TemplateError(.syntax, "tests can't be chained with is", line: line)
            case .string, .integer, .float, .symbol("["), .symbol("{"), .symbol("("), .name:
                let argumentLine = line
                let argument = try nested { (parser) throws(TemplateError) in
                    try parser.parsePostfix(of: parser.parsePrimary(), line: argumentLine)
                }
                arguments.positional = [argument]
            default: break
            }
        }
        if TemplateTests.all[name] == nil { note(missing: "the test \(name) is not supported", line: start) }
        return try TemplateExpression(kind: .test(expression, name, arguments, negated: negated), line: start)
    }

    private mutating func parseSubscript(
        of expression: TemplateExpression, line start: Int
    ) throws(TemplateError) -> TemplateExpression {
        func parsePart(_ parser: inout TemplateParser) throws(TemplateError) -> TemplateExpression? {
            parser.current == .symbol(":") || parser.current == .symbol("]") ? nil : try parser.parseExpression()
        }
        let first = try parsePart(&self)
        if current == .symbol(",") {
            throw TemplateError(.unsupported, "a subscript of several values is not supported", line: start)
        }
        if accept(":") {
            let second = try parsePart(&self)
            let step = accept(":") ? try parsePart(&self) : nil
            try expect(.symbol("]"), "]")
            return try TemplateExpression(kind: .slice(expression, from: first, to: second, step: step), line: start)
        }
        guard let first else { throw TemplateError(.syntax, "empty subscript", line: start) }
        try expect(.symbol("]"), "]")
        return try TemplateExpression(kind: .index(expression, first), line: start)
    }

    /// After the opening parenthesis, through the closing one.
    private mutating func parseArguments() throws(TemplateError) -> TemplateArguments {
        var arguments = TemplateArguments()
        while !accept(")") {
            // Python's own limit, once.
            guard arguments.positional.count + arguments.named.count < 255 else {
                throw TemplateError(.syntax, "a call has more than 255 arguments", line: line)
            }
            if current == .symbol("*") || current == .symbol("**") {
                throw TemplateError(.unsupported, "arguments with * are not supported", line: line)
            }
            if case .name(let name) = current, next == .symbol("=") {
                advance()
                advance()
                guard !arguments.named.contains(where: { $0.name == name }) else {
                    throw TemplateError(.syntax, "the argument \(name) is given twice", line: line)
                }
                arguments.named.append((name, try parseExpression()))
            } else {
                guard arguments.named.isEmpty else {
                    throw TemplateError(.syntax, "a positional argument after a named one", line: line)
                }
                arguments.positional.append(try parseExpression())
            }
            if !accept(",") {
                try expect(.symbol(")"), ")")
                break
            }
        }
        return arguments
    }

    private mutating func parsePrimary() throws(TemplateError) -> TemplateExpression {
        let start = line
        func literal(_ value: TemplateValue) throws(TemplateError) -> TemplateExpression {
            try TemplateExpression(kind: .literal(value), line: start)
        }
        let token = current
        advance()
        switch token {
        case .string(var text):
            // Strings side by side are one.
            while case .string(let more) = current {
                text += more
                advance()
            }
            return try literal(.string(PromptText(text)))
        case .integer(let number): return try literal(.integer(number))
        case .float(let number): return try literal(.float(number))
        case .name("true"), .name("True"): return try literal(.bool(true))
        case .name("false"), .name("False"): return try literal(.bool(false))
        case .name("none"), .name("None"): return try literal(.none)
        case .name(let name):
            noteRead(of: name)
            return try TemplateExpression(kind: .name(name), line: start)
        case .symbol("("):
            if accept(")") { return try TemplateExpression(kind: .list([], isTuple: true), line: start) }
            let inner = try parseTuple()
            try expect(.symbol(")"), ")")
            return inner
        case .symbol("["):
            if accept("]") { return try TemplateExpression(kind: .list([], isTuple: false), line: start) }
            let first = try parseExpression()
            return try TemplateExpression(
                kind: .list(parseItems(after: first, until: "]"), isTuple: false), line: start)
        case .symbol("{"): return try parseDictionary(line: start)
        default: throw TemplateError(.syntax, "expected an expression", line: start)
        }
    }

    private mutating func parseItems(
        after first: TemplateExpression, until close: String
    ) throws(TemplateError) -> [TemplateExpression] {
        var items = [first]
        while accept(","), current != .symbol(close) { items.append(try parseExpression()) }
        try expect(.symbol(close), close)
        return items
    }

    private mutating func parseDictionary(line start: Int) throws(TemplateError) -> TemplateExpression {
        var items: [(key: TemplateExpression, value: TemplateExpression)] = []
        while !accept("}") {
            let key = try parseExpression()
            try expect(.symbol(":"), ":")
            items.append((key, try parseExpression()))
            if !accept(",") {
                try expect(.symbol("}"), "}")
                break
            }
        }
        return try TemplateExpression(kind: .dictionary(items), line: start)
    }
}
