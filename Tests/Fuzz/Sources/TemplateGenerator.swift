// SPDX-License-Identifier: Apache-2.0

import MartletTestSupport
package import MartletText

/// Random templates of the grammar that the interpreter reads, for comparison with Jinja2.
package struct TemplateGenerator {
    private var random: FuzzRandom
    /// Names that a template may read, beside those of the context.
    private var names: [String] = []
    private var inLoop = 0
    /// Macros that were defined so far.
    private var macros = 0

    package init(seed: UInt64) { random = FuzzRandom(seed: seed) }

    /// The variables that every template is rendered over.
    package static let context: [String: TemplateValue] = [
        "messages": [
            ["role": "system", "content": "Be brief."],
            ["role": "user", "content": "  Hi é\u{1F600} <b>it's</b>\n"],
            ["role": "assistant", "content": "Ok"],
        ],
        "n": .integer(3), "f": .float(2.5), "s": "a,b c", "e": "",
        "d": ["x": .integer(1), "y": [.integer(1), .integer(2), .integer(3)], "z": .none],
        "l": [.integer(3), .integer(1), .integer(2)], "t": .bool(true), "q": .none,
        "w": "ΑΣ ὈΔΥΣΣΕΎΣ ß ǆ it's o'clock",
    ]

    /// The same as JSON.
    package static let jsonContext = """
        {"messages": [{"role": "system", "content": "Be brief."}, \
        {"role": "user", "content": "  Hi é\u{1F600} <b>it's</b>\\n"}, \
        {"role": "assistant", "content": "Ok"}], "n": 3, "f": 2.5, "s": "a,b c", "e": "", \
        "d": {"x": 1, "y": [1, 2, 3], "z": null}, "l": [3, 1, 2], "t": true, "q": null, \
        "w": "ΑΣ ὈΔΥΣΣΕΎΣ ß ǆ it's o'clock"}
        """

    private static let variables = ["messages", "n", "f", "s", "e", "d", "l", "t", "q", "w", "missing"]

    package mutating func template() -> String {
        names = []
        inLoop = 0
        macros = 0
        return random.chance(3) ? "{{ \(expression(3)) }}" : body(3, statements: random.below(4) + 1)
    }

    // MARK: Statements

    private mutating func body(_ depth: Int, statements: Int) -> String {
        let outside = names
        defer { names = outside }
        return (0..<statements).map { _ in statement(depth) }.joined()
    }

    private mutating func text() -> String {
        random.pick(["a", " ", "\n", "  \n", "x y", "\n\n", "\t", "é", "\u{a0}", "-", "{", "}", " \n  ", "\u{2003}"])
    }

    private mutating func tag(_ inside: String) -> String {
        let open = random.pick(["{%", "{%", "{%-", "{%+"])
        let close = random.pick(["%}", "%}", "-%}", "+%}"])
        return "\(open)\(random.pick([" ", "", "\n", "  "]))\(inside)\(random.pick([" ", "", "\u{a0}"]))\(close)"
    }

    private mutating func statement(_ depth: Int) -> String {
        guard depth > 0 else { return text() }
        switch random.below(19) {
        case 0, 1, 2: return text()
        case 3, 4, 5:
            let (open, close) = (random.pick(["{{", "{{", "{{-"]), random.pick(["}}", "}}", "-}}"]))
            return "\(open) \(expression(depth)) \(close)"
        case 6:
            let otherwise =
                random.chance(2) ? tag("else") + body(depth - 1, statements: 1) : ""
            let alternative = random.chance(4) ? tag("elif \(expression(depth - 1))") + text() : ""
            return tag("if \(expression(depth))") + body(depth - 1, statements: 2) + alternative + otherwise
                + tag("endif")
        case 7, 8:
            let sequence =
                random.chance(3)
                ? expression(depth - 1) : random.pick(["l", "d", "messages", "range(n)", "s", "d.items()"])
            let filter = random.chance(5) ? " if \(expression(1))" : ""
            names.append("i")
            inLoop += 1
            let inside = body(depth - 1, statements: 2)
            inLoop -= 1
            names.removeLast()
            let otherwise = random.chance(4) ? tag("else") + text() : ""
            return tag("for i in \(sequence)\(filter)") + inside + otherwise + tag("endfor")
        case 9, 10:
            let value = expression(depth)
            names.append("v")
            return tag("set v = \(value)")
        case 11:
            let filter = random.chance(3) ? " | \(random.pick(["upper", "trim", "length"]))" : ""
            let inside = body(depth - 1, statements: 2)
            names.append("v")
            return tag("set v\(filter)") + inside + tag("endset")
        case 12:
            let value = expression(depth - 1)
            names.append("ns.k")
            return tag("set ns = namespace(k=\(expression(1)))") + tag("set ns.k = \(value)")
        case 13, 14: return macro(depth)
        case 15:
            let filters = (0...random.below(2)).map { _ in
                random.pick(["upper", "trim", "replace('a', 'b')", "indent"])
            }
            return tag("filter \(filters.joined(separator: " | "))") + body(depth - 1, statements: 2) + tag("endfilter")
        case 16:
            let value = expression(depth - 1)
            names.append("w1")
            let inside = body(depth - 1, statements: 2)
            names.removeLast()
            return tag("with w1 = \(value), w2 = \(atom())") + inside + tag("endwith")
        case 17:
            let list = "[\(atom()), 1]"
            return tag("set ns = namespace()") + tag("set ns.k\(random.chance(3) ? " | trim" : "")") + text()
                + tag("endset") + "{{ ns.k }}{{ \(list) }}"
        default:
            return random.pick([
                tag("raw") + text() + "{{ x }}" + text() + tag("endraw"), "{# \(text()) #}", "{#- c -#}",
                inLoop > 0 ? tag(random.pick(["break", "continue"])) : text(), "\n{# c #}\n",
            ])
        }
    }

    /// A macro and calls of it, from inside a loop or a call block, too.
    private mutating func macro(_ depth: Int) -> String {
        macros += 1
        let name = "m\(macros)"
        let (outside, loops) = (names, inLoop)
        names += ["a", "b"] + random.pick([[], ["kwargs"], ["varargs"], ["kwargs", "varargs"]])
        inLoop = 0
        let caller = random.chance(3) ? "{{ caller(\(random.pick(["", atom()]))) }}" : ""
        let recursion = random.chance(4) ? "{{ \(name)(a[1:]) if a is string and a }}" : ""
        let inside = body(depth - 1, statements: 2) + caller + recursion
        (names, inLoop) = (outside, loops)
        let fallback = random.pick(["=\(expression(1))", "=a", "", "=n"])
        let arguments = random.pick([
            "", atom(), "\(atom()), \(atom())", "b=\(atom())", "\(atom()), b=\(atom())", "a=\(atom())",
            "\(atom()), c=\(atom())", "1, 2, 3", "\(atom()), \(atom()), \(atom()), d=1",
        ])
        let parameters = random.chance(2) ? "" : "(\(random.pick(["x", "", "x='y'"])))"
        let use =
            random.chance(3)
            ? tag("call\(parameters) \(name)(\(arguments))") + text() + "{{ x }}" + tag("endcall")
            : random.chance(3)
                ? tag("for i in l") + "{{ \(name)(i) }}" + tag("endfor")
                : "{{ \(name)(\(arguments))\(random.pick(["", " | upper", " | length", " ~ 'x'"])) }}"
        let shown = random.pick(["", "", "{{ \(name).name }}", "{{ \(name).arguments }}", "{{ \(name) is callable }}"])
        return tag("macro \(name)(a, b\(fallback))") + inside + tag("endmacro") + use + shown
    }

    // MARK: Expressions

    private mutating func expression(_ depth: Int) -> String {
        guard depth > 0 else { return atom() }
        switch random.below(20) {
        case 0, 1, 2: return atom()
        case 3, 4:
            if random.chance(10) {
                return "\(expression(depth - 1)) ** \(random.pick(["0", "1", "2", "3", "-1", "0.5"]))"
            }
            let symbol = random.pick(["+", "-", "*", "/", "//", "%", "~", "~", "+"])
            return "\(expression(depth - 1)) \(symbol) \(expression(depth - 1))"
        case 5, 6:
            let symbol = random.pick(["==", "!=", "<", ">", "<=", ">=", "in", "not in"])
            return "\(expression(depth - 1)) \(symbol) \(expression(depth - 1))"
        case 7: return "\(expression(depth - 1)) \(random.pick(["and", "or"])) \(expression(depth - 1))"
        case 8: return "\(random.pick(["not ", "-", "+", "not not "]))\(expression(depth - 1))"
        case 9: return "(\(expression(depth - 1)))"
        case 10:
            let otherwise = random.chance(3) ? "" : " else \(expression(depth - 1))"
            return "\(expression(depth - 1)) if \(expression(depth - 1))\(otherwise)"
        case 11, 12, 13, 14: return "(\(expression(depth - 1))) | \(filter(depth - 1))"
        case 15: return "(\(expression(depth - 1))) is \(random.chance(3) ? "not " : "")\(test(depth - 1))"
        case 16, 17: return "(\(expression(depth - 1))).\(method(depth - 1))"
        case 18: return "(\(expression(depth - 1)))\(subscriptText(depth - 1))"
        default:
            return random.pick([
                "[\(expression(depth - 1)), \(atom())]", "(\(expression(depth - 1)),)",
                "{'a': \(expression(depth - 1)), \(stringLiteral()): 1}", "[\(atom())]", "(\(atom()), \(atom()))",
                "range(\(atom()))", "range(\(integer()), \(integer()), \(integer()))",
                "dict(a=\(expression(depth - 1)))", "namespace(k=\(atom())).k", "[]", "{}", "()",
            ])
        }
    }

    private mutating func atom() -> String {
        switch random.below(9) {
        case 0, 1: return integer()
        case 2: return random.pick(["0.0", "1.5", "2.0", "1e3", "1e16", "1.5e-7", "123456789.125", "3.9"])
        case 3, 4: return stringLiteral()
        case 5: return random.pick(["true", "false", "none", "True", "None"])
        case 6:
            if inLoop > 0, random.chance(2) {
                return
                    "loop.\(random.pick(["index", "index0", "first", "last", "length", "previtem", "nextitem", "revindex", "depth"]))"
            }
            return random.pick(Self.variables)
        case 7: return names.isEmpty ? random.pick(Self.variables) : random.pick(names)
        default:
            return random.pick([
                "messages[0].content", "messages[-1]['role']", "d.x", "d['y']", "messages[1].content", "d.q", "w",
            ])
        }
    }

    private mutating func integer() -> String {
        random.pick(["0", "1", "2", "3", "-1", "-2", "7", "10", "100", "1_2", "0x1f", "0b101", "0o17"])
    }

    private mutating func stringLiteral() -> String {
        random.pick([
            "'a'", "''", "'abc'", "'A b'", "\"it's\"", "'é'", "'3.9'", "'1e3'", "'0x1A'", "' 1.5 '", "'12'", "'-7'",
            "'a,b,,c'",
            "'\\n'", "'\\u00e9\\x41'", "'\\U0001F600'", "'\\101\\7'", "'\\q'", "'a\\tb'", "'  x  '", "'ΑΣ'", "'ß'",
            "'ab' 'c'",
            "'_1_0'", "'1_0'", "'\u{a0}x\u{2003}'", "'a\\\nb'", "'line1\\nline2\\n'", "'nan'", "'inf'", "'\\é'", "'{{'",
            "'%}'", "'{}-{}'", "'{0}{{x}}{a}'",
        ])
    }

    private mutating func filter(_ depth: Int) -> String {
        switch random.below(36) {
        case 0: return "trim"
        case 1: return "trim(\(stringLiteral()))"
        case 2: return random.pick(["upper", "lower", "capitalize", "title"])
        case 3: return random.pick(["string", "length", "count", "list", "safe"])
        case 4: return "default(\(expression(depth)))"
        case 5: return "default(\(atom()), \(random.pick(["true", "false", "boolean=true"])))"
        case 6: return "tojson"
        case 7:
            let argument = random.pick([
                "indent=2", "sort_keys=true", "ensure_ascii=true", "separators=(',', ':')", "true",
                "indent=\(integer())",
                "false, 4", "indent='ab'", "sort_keys=false, indent=1", "nosuch=1",
            ])
            return "tojson(\(argument))"
        case 8: return "join(\(stringLiteral()))"
        case 9: return random.pick(["join", "join(d=', ')", "join(',', attribute='role')", "join(1)"])
        case 10: return "replace(\(stringLiteral()), \(stringLiteral()))"
        case 11: return "replace(\(stringLiteral()), \(atom()), \(integer()))"
        case 12: return random.pick(["first", "last"])
        case 13: return "reverse"
        case 14: return "items | list"
        case 15: return "int"
        case 16:
            return random.pick(["int(\(integer()))", "int(base=\(integer()))", "int(0, 16)", "int(base=0)", "int('x')"])
        case 17: return random.pick(["float", "float(\(atom()))", "abs"])
        case 18:
            return random.pick([
                "indent", "indent(2)", "indent(2, true)", "indent('> ', first=true)", "indent(width=1, blank=true)",
            ])
        case 19:
            return
                "map(\(random.pick(["'upper'", "'length'", "'string'", "'int'", "'trim'", "'tojson'", "'abs'"]))) | list"
        case 20: return "map(attribute=\(random.pick(["'role'", "'x'", "0", "'a.b'", "'y.0'"]))) | list"
        case 21: return "map(attribute='role', default=\(atom())) | list"
        case 22:
            return
                "selectattr('role', \(random.pick(["'equalto', 'user'", "'defined'", "'in', ['user']", "'==', 'x'"]))) | list"
        case 23:
            return
                "\(random.pick(["select", "reject"]))(\(random.pick(["", "'odd'", "'string'", "'gt', 1", "'none'"]))) | list"
        case 24: return "rejectattr('content') | list"
        case 25: return "map('replace', 'a', 'b') | join"
        case 26: return "select | first"
        case 27: return "trim(chars=\(stringLiteral()))"
        case 28: return "title"
        case 29:
            return
                "dictsort\(random.pick(["", "(true)", "(by='value')", "(reverse=true)", "(false, 'key', true)", "(by='x')"]))"
        case 30:
            return
                "sort\(random.pick(["", "(true)", "(case_sensitive=true)", "(attribute='role')", "(attribute='role,content')", "(reverse=true, attribute=0)"]))"
        case 31: return "unique\(random.pick(["", "(true)", "(attribute='role')"])) | list"
        case 32: return random.pick(["min", "max", "min(true)", "max(attribute='content')", "min(attribute=0)"])
        case 33: return random.pick(["sum", "sum(start=1)", "sum(attribute='x')", "sum(start='')"])
        case 34: return random.pick(["round", "round(1)", "round(0, 'floor')", "round(1, 'ceil')", "round(2)"])
        default: return "list | length"
        }
    }

    private mutating func test(_ depth: Int) -> String {
        random.pick([
            "defined", "undefined", "none", "string", "mapping", "boolean", "integer", "float", "number", "sequence",
            "iterable",
            "true", "false", "odd", "even", "divisibleby 3", "divisibleby(\(integer()))", "equalto \(atom())",
            "eq(\(atom()))",
            "ne \(integer())", "in [1, 2, 'a']", "in(\(atom()))", "gt \(integer())", "lessthan(\(atom()))", "callable",
        ])
    }

    private mutating func method(_ depth: Int) -> String {
        random.pick([
            "strip()", "lstrip()", "rstrip()", "strip(\(stringLiteral()))", "lstrip(\(stringLiteral()))",
            "rstrip(none)", "upper()",
            "lower()", "title()", "capitalize()", "startswith(\(stringLiteral()))", "endswith(\(stringLiteral()))",
            "startswith(('a', \(stringLiteral())))", "replace(\(stringLiteral()), \(stringLiteral()))",
            "replace('a', 'bb', 1)",
            "join(\(expression(depth)))", "join(['a', 'b'])", "split()", "split(',')", "split(\(stringLiteral()))",
            "split(none, 1)",
            "split(',', 1)", "split(sep=',', maxsplit=1)", "splitlines()", "items() | list", "keys() | list",
            "values() | list",
            "get('x')", "get('nope', 5)", "get(\(atom()), \(atom()))", "strip(1)", "split(',', 'x')", "nosuch", "x",
            "upper(1)",
            "split(' ')[-1]", "split()[0]", "items()", "format(1)", "format(\(atom()), a=2)",
        ])
    }

    private mutating func subscriptText(_ depth: Int) -> String {
        random.pick([
            "[0]", "[-1]", "[\(integer())]", "['x']", "[1:]", "[:-1]", "[::-1]", "[:2]", "[\(integer()):\(integer())]",
            "[::\(integer())]", "[\(integer())::-2]", "[none:]", "[\(expression(depth))]", ".0", "[99]", "['role']",
        ])
    }
}

/// A small generator of its own, so that a seed means the same templates everywhere: SplitMix64.
package struct FuzzRandom: RandomNumberGenerator, Sendable {
    private var generator: SeededGenerator

    /// Seeds that follow each other have streams that don't.
    package init(seed: UInt64) {
        generator = SeededGenerator(seed &* 0x9e37_79b9_7f4a_7c15 &+ 0x1234_5678_9abc_def1)
    }

    package mutating func next() -> UInt64 { generator.next() }

    package mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(bound)) }

    /// True once in `count` times.
    package mutating func chance(_ of: Int) -> Bool { below(of) == 0 }

    package mutating func pick<Element>(_ elements: [Element]) -> Element { elements[below(elements.count)] }
}
