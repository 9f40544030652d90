// SPDX-License-Identifier: Apache-2.0

import OrderedCollections

/// A value of the template language. Plain data: nothing of the host can be reached through one.
package enum TemplateValue: Sendable {
    /// A name or attribute that doesn't exist: renders as nothing, but has no attributes.
    case undefined(String)
    case none
    case bool(Bool)
    case integer(Int)
    case float(Double)
    case string(PromptText)
    /// A text that the filter `safe` marked: what `+` joins to it is escaped, as MarkupSafe does. Only `+` and
    /// assignments see the mark; for all else it is a string.
    case markup(PromptText)
    case list(TemplateList)
    case dictionary(TemplateMapping)
    /// A mutable `namespace()`: an index into the evaluator's table.
    case namespace(Int)
    /// Items that can be read once, as a filter like `map` returns them: an index into the evaluator's table.
    case iterator(Int)
    case loop(TemplateLoop)
    /// A function or method by its name. It can be called and tested, and nothing else.
    case function(String)
    /// A macro, or a call block's body, which has no name: an index into the evaluator's table.
    case macro(Int, name: String?)

    var isTrue: Bool {
        switch self {
        case .undefined, .none: false
        case .bool(let value): value
        case .integer(let value): value != 0
        case .float(let value): value != 0
        case .string(let value), .markup(let value): !value.isEmpty
        case .list(let value): !value.isEmpty
        case .dictionary(let value): !value.isEmpty
        case .namespace, .iterator, .function, .macro: true
        case .loop(let loop): loop.count != 0
        }
    }

    /// For error messages.
    var typeName: String {
        switch self {
        case .undefined(let name): "an undefined value (\(name))"
        case .none: "none"
        case .bool: "a boolean"
        case .integer: "an integer"
        case .float: "a float"
        case .string, .markup: "a string"
        case .list: "a list"
        case .dictionary: "a mapping"
        case .namespace: "a namespace"
        case .iterator: "an iterator"
        case .loop: "a loop"
        case .function(let name): "the function \(name)"
        case .macro(_, let name): name.map { "the macro \($0)" } ?? "a call block"
        }
    }

    /// How deep lists and mappings nest in it.
    var depth: Int {
        switch self {
        case .list(let items): items.depth
        case .dictionary(let items): items.depth
        case .loop(let loop): loop.depth
        default: 0
        }
    }

    /// Booleans count as 0 and 1, as in Python.
    var number: Double? {
        switch self {
        case .bool(let value): value ? 1 : 0
        case .integer(let value): Double(value)
        case .float(let value): value
        default: nil
        }
    }

    var integer: Int? {
        switch self {
        case .bool(let value): value ? 1 : 0
        case .integer(let value): value
        default: nil
        }
    }
}

extension TemplateValue: ExpressibleByStringLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral {
    package init(stringLiteral value: String) { self = .string(PromptText(value)) }
    package init(arrayLiteral elements: TemplateValue...) { self = .list(TemplateList(elements)) }
    /// The last of the entries with the same key counts.
    package init(dictionaryLiteral elements: (PromptText, TemplateValue)...) {
        self = .dictionary(TemplateMapping(elements))
    }
}
