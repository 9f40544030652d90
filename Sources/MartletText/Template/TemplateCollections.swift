// SPDX-License-Identifier: Apache-2.0

import OrderedCollections

/// A list that knows how deep it nests, so that a limit can be kept before anything recurses into it.
public struct TemplateList: RandomAccessCollection, ExpressibleByArrayLiteral, Sendable {
    private let items: [TemplateValue]
    let depth: Int

    init(_ items: [TemplateValue]) {
        self.items = items
        depth = 1 + (items.lazy.map(\.depth).max() ?? 0)
    }

    public init(arrayLiteral elements: TemplateValue...) { self.init(elements) }

    public var startIndex: Int { 0 }
    public var endIndex: Int { items.count }
    public subscript(position: Int) -> TemplateValue { items[position] }
}

/// A mapping from names, in order of insertion, that knows how deep it nests.
public struct TemplateMapping: Collection, ExpressibleByDictionaryLiteral, Sendable {
    private let items: OrderedDictionary<String, TemplateValue>
    let depth: Int

    init(_ items: OrderedDictionary<String, TemplateValue>) {
        self.items = items
        depth = 1 + (items.values.lazy.map(\.depth).max() ?? 0)
    }

    /// Of entries with the same key the last one stands.
    public init(dictionaryLiteral elements: (String, TemplateValue)...) {
        self.init(OrderedDictionary(elements) { $1 })
    }

    public var startIndex: Int { 0 }
    public var endIndex: Int { items.count }
    public func index(after index: Int) -> Int { index + 1 }
    public subscript(position: Int) -> (key: String, value: TemplateValue) {
        let element = items.elements[position]
        return (element.key, element.value)
    }

    subscript(key: String) -> TemplateValue? { items[key] }
}
