// SPDX-License-Identifier: Apache-2.0

import OrderedCollections

/// A list that knows how deep it nests, so that a limit can be kept before anything recurses into it.
package struct TemplateList: RandomAccessCollection, ExpressibleByArrayLiteral, Sendable {
    /// What Python calls it. It decides how the list is shown and whether it equals another one.
    enum Kind: Equatable, Sendable {
        case list
        case tuple
        case range(start: Int, end: Int, step: Int)
        /// What `keys`, `values` and `items` of a mapping return, by the name that it is shown with.
        case view(String)
    }

    let items: [TemplateValue]
    let kind: Kind
    let depth: Int

    init(_ items: [TemplateValue], kind: Kind = .list) {
        self.items = items
        self.kind = kind
        depth = 1 + (items.lazy.map(\.depth).max() ?? 0)
    }

    package init(arrayLiteral elements: TemplateValue...) { self.init(elements) }

    package var startIndex: Int { 0 }
    package var endIndex: Int { items.count }
    package subscript(position: Int) -> TemplateValue { items[position] }
}

/// What a mapping's values are found by.
package enum TemplateKey: Hashable, Sendable {
    case text(PromptText)
    case integer(Int)

    /// nil for values that Python takes as keys and this interpreter doesn't.
    init?(_ value: TemplateValue) {
        switch value {
        case .string(let text): self = .text(text)
        case .integer(let integer): self = .integer(integer)
        default: return nil
        }
    }

    /// The key that a value finds: as in Python, true and 1.0 find what 1 finds.
    init?(finding value: TemplateValue) {
        switch value {
        case .bool(let bool): self = .integer(bool ? 1 : 0)
        case .float(let number):
            guard let integer = Int(exactly: number) else { return nil }
            self = .integer(integer)
        default: self.init(value)
        }
    }

    var value: TemplateValue {
        switch self {
        case .text(let text): .string(text)
        case .integer(let integer): .integer(integer)
        }
    }

    /// As JSON writes it.
    var text: PromptText {
        switch self {
        case .text(let text): text
        case .integer(let integer): PromptText(String(integer))
        }
    }
}

/// A mapping, in order of insertion, that knows how deep it nests.
package struct TemplateMapping: Collection, ExpressibleByDictionaryLiteral, Sendable {
    private let items: OrderedDictionary<TemplateKey, TemplateValue>
    let depth: Int

    init(_ items: OrderedDictionary<TemplateKey, TemplateValue>) {
        self.items = items
        depth = 1 + (items.values.lazy.map(\.depth).max() ?? 0)
    }

    /// The last of the entries with the same key counts.
    package init(dictionaryLiteral elements: (PromptText, TemplateValue)...) { self.init(elements) }

    /// The last of the entries with the same key counts.
    init(_ entries: [(PromptText, TemplateValue)]) {
        self.init(OrderedDictionary(entries.map { (TemplateKey.text($0), $1) }) { $1 })
    }

    package var startIndex: Int { 0 }
    package var endIndex: Int { items.count }
    package func index(after index: Int) -> Int { index + 1 }
    package subscript(position: Int) -> (key: TemplateKey, value: TemplateValue) {
        let element = items.elements[position]
        return (element.key, element.value)
    }

    subscript(key: PromptText) -> TemplateValue? { items[.text(key)] }
    subscript(key: TemplateKey) -> TemplateValue? { items[key] }
}

/// The variable `loop` of one turn of a loop.
package final class TemplateLoop: Sendable {
    let index: Int
    let count: Int
    let previous: TemplateValue
    let next: TemplateValue
    let depth: Int

    init(index: Int, of items: [TemplateValue]) {
        self.index = index
        count = items.count
        previous = index > 0 ? items[index - 1] : .undefined("there is no previous item")
        next = index + 1 < items.count ? items[index + 1] : .undefined("there is no next item")
        depth = 1 + max(previous.depth, next.depth)
    }

    func attribute(_ name: PromptText) -> TemplateValue? {
        guard name.count <= 64 else { return nil }
        return switch name.string {
        case "index": .integer(index + 1)
        case "index0": .integer(index)
        case "revindex": .integer(count - index)
        case "revindex0": .integer(count - index - 1)
        case "first": .bool(index == 0)
        case "last": .bool(index == count - 1)
        case "length": .integer(count)
        // How deep a recursive loop recurses, which none does here.
        case "depth": .integer(1)
        case "depth0": .integer(0)
        case "previtem": previous
        case "nextitem": next
        default: nil
        }
    }
}
