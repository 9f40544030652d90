// SPDX-License-Identifier: Apache-2.0

/// An expression, with the line it begins on.
struct TemplateExpression: Sendable {
    indirect enum Kind: Sendable {
        case literal(TemplateValue)
        case name(String)
        case list([TemplateExpression], isTuple: Bool)
        case dictionary([(key: TemplateExpression, value: TemplateExpression)])
        case attribute(TemplateExpression, PromptText)
        case index(TemplateExpression, TemplateExpression)
        case slice(TemplateExpression, from: TemplateExpression?, to: TemplateExpression?, step: TemplateExpression?)
        case call(TemplateExpression, TemplateArguments)
        case filter(TemplateExpression, String, TemplateArguments)
        case test(TemplateExpression, String, TemplateArguments, negated: Bool)
        case not(TemplateExpression)
        case negative(TemplateExpression)
        case positive(TemplateExpression)
        case binary(TemplateExpression, String, TemplateExpression)
        case and(TemplateExpression, TemplateExpression)
        case or(TemplateExpression, TemplateExpression)
        /// `a < b <= c`
        case comparison(TemplateExpression, [(symbol: String, right: TemplateExpression)])
        case conditional(condition: TemplateExpression, then: TemplateExpression, otherwise: TemplateExpression?)
    }

    /// Deepest nesting of expressions. A chain like `a.b.c` nests too, though its source doesn't.
    static let maximumDepth = 200

    let kind: Kind
    let line: Int
    private let depth: Int

    /// Throws where the nesting would endanger the stack of a thread that evaluates or frees it.
    init(kind: Kind, line: Int) throws(TemplateError) {
        self.kind = kind
        self.line = line
        depth = 1 + (kind.operands.lazy.map(\.depth).max() ?? 0)
        guard depth <= Self.maximumDepth else {
            throw TemplateError(.budgetExceeded, "an expression nests more than \(Self.maximumDepth) deep", line: line)
        }
    }
}

extension TemplateExpression.Kind {
    fileprivate var operands: [TemplateExpression] {
        switch self {
        case .literal, .name: []
        case .list(let items, _): items
        case .dictionary(let items): items.flatMap { [$0.key, $0.value] }
        case .attribute(let base, _), .not(let base), .negative(let base), .positive(let base): [base]
        case .index(let base, let index): [base, index]
        case .slice(let base, let from, let to, let step): [base] + [from, to, step].compactMap { $0 }
        case .call(let base, let arguments), .filter(let base, _, let arguments), .test(let base, _, let arguments, _):
            [base] + arguments.positional + arguments.named.map(\.value)
        case .binary(let left, _, let right), .and(let left, let right), .or(let left, let right): [left, right]
        case .comparison(let left, let rest): [left] + rest.map(\.right)
        case .conditional(let condition, let then, let otherwise): [condition, then] + [otherwise].compactMap { $0 }
        }
    }
}

/// A piece of a template that is called with arguments: a macro, or the body of a call block, which has no name.
struct TemplateMacro: Sendable {
    /// The names that a macro has without declaring them.
    static let impliedNames: Set<String> = ["caller", "varargs", "kwargs"]

    let name: String?
    let parameters: [(name: String, fallback: TemplateExpression?)]
    let body: [TemplateStatement]
    /// Those of `impliedNames` that the body reads. Arguments for the others are an error, as in Jinja.
    let reads: Set<String>
}

struct TemplateArguments: Sendable {
    var positional: [TemplateExpression] = []
    var named: [(name: String, value: TemplateExpression)] = []
}

/// What `set` assigns to.
enum TemplateTarget: Sendable {
    /// Several names unpack a list.
    case names([String])
    /// An attribute of a namespace.
    case attribute(PromptText, of: String)
}

/// A statement, with the line it begins on.
struct TemplateStatement: Sendable {
    indirect enum Kind: Sendable {
        case text(String)
        case output(TemplateExpression)
        case branch([(condition: TemplateExpression, body: [TemplateStatement])], otherwise: [TemplateStatement])
        case loop(
            names: [String], over: TemplateExpression, filter: TemplateExpression?, body: [TemplateStatement],
            otherwise: [TemplateStatement])
        case assign(TemplateTarget, TemplateExpression)
        /// `{% set name | filter %}…{% endset %}`
        case capture(TemplateTarget, body: [TemplateStatement], filters: [(name: String, TemplateArguments)])
        /// `{% filter name | name %}…{% endfilter %}`
        case filtered([(name: String, TemplateArguments)], body: [TemplateStatement])
        case macro(TemplateMacro)
        /// `{% call(parameters) macro(arguments) %}…{% endcall %}`
        case callBlock(TemplateExpression, TemplateArguments, caller: TemplateMacro)
        /// `{% with name = value %}…{% endwith %}`
        case with([(name: String, value: TemplateExpression)], body: [TemplateStatement])
        case breakLoop
        case continueLoop
    }

    let kind: Kind
    let line: Int
}
