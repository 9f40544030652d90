// SPDX-License-Identifier: Apache-2.0

/// Why a template can't be parsed or rendered.
public struct TemplateError: Error, Equatable, Sendable, CustomStringConvertible {
    /// What kind of fault it is. Open: more may come.
    public struct Code: Hashable, Sendable {
        private enum Name {
            case syntax, unsupported, type, undefined, budgetExceeded, timedOut, raised, invalidVariable
        }
        private let name: Name
        private init(_ name: Name) { self.name = name }

        /// The source is no Jinja.
        public static let syntax = Code(.syntax)
        /// A construct of Jinja that this interpreter doesn't have.
        public static let unsupported = Code(.unsupported)
        /// An operation on values of the wrong type.
        public static let type = Code(.type)
        /// A name or attribute that doesn't exist.
        public static let undefined = Code(.undefined)
        /// More than `TemplateBudget` permits.
        public static let budgetExceeded = Code(.budgetExceeded)
        /// Rendering took longer than it was given.
        public static let timedOut = Code(.timedOut)
        /// The template itself called `raise_exception`.
        public static let raised = Code(.raised)
        /// The caller gave a variable that the conversation itself sets.
        public static let invalidVariable = Code(.invalidVariable)
    }

    /// What kind of fault it is.
    public let code: Code
    /// What is wrong, for people.
    public let message: String
    /// Counted from 1; 0 where it isn't known.
    public let line: Int

    /// Whether more of `TemplateBudget.steps` or `bytes` would help.
    public let needsMoreBudget: Bool

    /// An error of one's own, for code that stands in for a template.
    public init(_ code: Code, _ message: String, line: Int, needsMoreBudget: Bool = false) {
        self.code = code
        self.message = message
        self.line = line
        self.needsMoreBudget = needsMoreBudget
    }

    /// The message with its line.
    public var description: String {
        line > 0 ? "chat template, line \(line): \(message)" : "chat template: \(message)"
    }
}

/// What rendering may cost. Templates come from files that strangers wrote.
public struct TemplateBudget: Sendable {
    /// Bytes of the template.
    public var sourceBytes = 1 << 20
    /// Expressions and statements evaluated. An operation that reads a value counts one more for each 256 bytes of text
    /// and each 16 items that it reads.
    public var steps = 1_000_000
    /// Bytes of all strings, lists and mappings made on the way, and of the output.
    public var bytes = 4 << 20
    /// How long it may take.
    public var time = Duration.seconds(10)
    /// Nesting of expressions and statements, in the source and in values.
    public var depth = 64
    /// Nesting of statements and expressions while they are evaluated, macros that call each other included.
    public var evaluationDepth = 400
    /// Items of a `range`.
    public var rangeLength = 100_000

    /// The defaults.
    public init() {}
}
