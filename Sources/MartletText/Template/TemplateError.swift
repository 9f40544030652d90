// SPDX-License-Identifier: Apache-2.0

/// Why a template can't be parsed or rendered.
public struct TemplateError: Error, Equatable, Sendable, CustomStringConvertible {
    public struct Code: Hashable, Sendable {
        private enum Name { case syntax, unsupported, type, undefined, budgetExceeded, timedOut, raised }
        private let name: Name
        private init(_ name: Name) { self.name = name }

        public static let syntax = Code(.syntax)
        /// A construct of Jinja that this interpreter doesn't have.
        public static let unsupported = Code(.unsupported)
        public static let type = Code(.type)
        public static let undefined = Code(.undefined)
        public static let budgetExceeded = Code(.budgetExceeded)
        /// Rendering took longer than it was given.
        public static let timedOut = Code(.timedOut)
        /// The template itself called `raise_exception`.
        public static let raised = Code(.raised)
    }

    public let code: Code
    public let message: String
    /// Counted from 1; 0 where it isn't known.
    public let line: Int

    /// Whether more of `TemplateBudget.steps` or `bytes` would help.
    public let needsMoreBudget: Bool

    public init(_ code: Code, _ message: String, line: Int, needsMoreBudget: Bool = false) {
        self.code = code
        self.message = message
        self.line = line
        self.needsMoreBudget = needsMoreBudget
    }

    public var description: String {
        line > 0 ? "chat template, line \(line): \(message)" : "chat template: \(message)"
    }
}

/// What rendering may cost. Templates come from files that strangers wrote.
public struct TemplateBudget: Sendable {
    public var sourceBytes = 1 << 20
    /// Expressions and statements evaluated. An operation that reads a value counts one more for each 256 bytes of text
    /// and each 16 items that it reads.
    public var steps = 1_000_000
    /// Bytes of all strings made on the way, and of the output.
    public var bytes = 4 << 20
    /// Nesting of expressions and statements, in the source and in values.
    public var depth = 64
    public var rangeLength = 100_000

    public init() {}
}
