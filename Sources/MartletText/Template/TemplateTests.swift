// SPDX-License-Identifier: Apache-2.0

/// Jinja's tests, those that chat templates use.
enum TemplateTests {
    typealias Body = @Sendable (TemplateEvaluator, TemplateValue, BoundArguments) throws(TemplateError) -> Bool

    struct Test: Sendable {
        let signature: TemplateSignature
        let body: Body
    }

    /// A test of what a value is.
    private static func kind(_ body: @escaping @Sendable (TemplateValue) -> Bool) -> Test {
        Test(signature: TemplateSignature()) { (_, value, _) throws(TemplateError) in body(value) }
    }

    /// A test that compares with an argument.
    private static func comparison(_ symbol: String) -> Test {
        Test(signature: TemplateSignature(["other"], required: 1, takesNames: false)) {
            (e, value, a) throws(TemplateError) in try e.compare(value, symbol, a[0] ?? .none)
        }
    }

    /// Whether the remainder of a division by 2 is a number.
    private static func remainder(_ expected: Int) -> Test {
        Test(signature: TemplateSignature()) { (e, value, _) throws(TemplateError) in
            try e.equal(e.arithmetic(value, "%", .integer(2)), .integer(expected))
        }
    }

    static let all: [String: Test] = {
        var tests: [String: Test] = [
            "defined": kind { if case .undefined = $0 { false } else { true } },
            "undefined": kind { if case .undefined = $0 { true } else { false } },
            "none": kind { if case .none = $0 { true } else { false } },
            "string": kind { if case .string = $0 { true } else { false } },
            "mapping": kind { if case .dictionary = $0 { true } else { false } },
            "boolean": kind { if case .bool = $0 { true } else { false } },
            "integer": kind { if case .integer = $0 { true } else { false } },
            "float": kind { if case .float = $0 { true } else { false } },
            "number": kind { $0.number != nil },
            "true": kind { if case .bool(true) = $0 { true } else { false } },
            "false": kind { if case .bool(false) = $0 { true } else { false } },
            "callable": kind { value in
                switch value {
                // Python's undefined objects can be called, though that always fails.
                case .function, .macro, .undefined: true
                default: false
                }
            },
            "sequence": kind { value in
                switch value {
                case .list(let items): if case .view = items.kind { false } else { true }
                case .string, .dictionary, .undefined: true
                default: false
                }
            },
            "iterable": kind { value in
                switch value {
                case .list, .string, .dictionary, .undefined, .iterator, .loop: true
                default: false
                }
            },
            "in": Test(signature: TemplateSignature(["seq"], required: 1, takesNames: false)) {
                (e, value, a) throws(TemplateError) in try e.contains(a[0] ?? .none, value)
            },
            "odd": remainder(1), "even": remainder(0),
            "divisibleby": Test(signature: TemplateSignature(["num"], required: 1)) {
                (e, value, a) throws(TemplateError) in
                try e.equal(e.arithmetic(value, "%", a[0] ?? .none), .integer(0))
            },
        ]
        let symbols = [
            "==": ["==", "eq", "equalto"], "!=": ["!=", "ne"], "<": ["<", "lt", "lessthan"], "<=": ["<=", "le"],
            ">": [">", "gt", "greaterthan"], ">=": [">=", "ge"],
        ]
        for (symbol, names) in symbols { for name in names { tests[name] = comparison(symbol) } }
        return tests
    }()
}

extension TemplateEvaluator {
    func applyTest(
        _ name: String, to value: TemplateValue, _ arguments: EvaluatedArguments
    ) throws(TemplateError) -> Bool {
        guard name.utf8.count <= 64, let test = TemplateTests.all[name] else {
            throw fault(.unsupported, "the test \(PromptText(name).abbreviated) is not supported")
        }
        return try test.body(self, value, bind(arguments, test.signature, "the test \(name)"))
    }
}
