// SPDX-License-Identifier: Apache-2.0

/// UTF-8 text that knows which of its bytes a user wrote.
///
/// A chat template joins its own words with users' messages. Only the template's own bytes may become control tokens,
/// so every operation on a text carries the ranges of users' bytes along. Two texts are equal if their bytes are.
///
/// ```swift
/// let prompt: PromptText = "<|im_start|>user\n\(question)<|im_end|>\n<|im_start|>assistant\n"
/// ```
/// Whatever `question` spells, it is plain text to the model.
public struct PromptText: Sendable {
    /// Valid UTF-8.
    public private(set) var bytes: [UInt8]
    /// Bytes that a user wrote: ascending and not empty. Neighbouring ranges never touch.
    public private(set) var userRanges: [Range<Int>]

    /// An empty text.
    public init() {
        bytes = []
        userRanges = []
    }

    /// Text that no user wrote.
    public init(_ text: String) {
        bytes = Array(text.utf8)
        userRanges = []
    }

    /// Text that a user wrote.
    public init(user text: String) {
        bytes = Array(text.utf8)
        userRanges = bytes.isEmpty ? [] : [0..<bytes.count]
    }

    /// - Parameter parsingSpecials: whether the text may spell control tokens; where it may not, a user wrote it.
    package init(_ text: String, parsingSpecials: Bool) {
        self = parsingSpecials ? PromptText(text) : PromptText(user: text)
    }

    private init(bytes: [UInt8], userRanges: [Range<Int>]) {
        self.bytes = bytes
        self.userRanges = userRanges
    }

    /// The text alone.
    public var string: String { String(decoding: bytes, as: UTF8.self) }
    /// Whether there is no byte.
    public var isEmpty: Bool { bytes.isEmpty }
    /// Bytes.
    public var count: Int { bytes.count }

    /// The bytes of a range that begins and ends between characters.
    ///
    /// - Complexity: O(range), and O(log n) in the users' ranges.
    func slice(_ range: Range<Int>) -> PromptText {
        var clipped: [Range<Int>] = []
        var index = firstUserRange(endingBehind: range.lowerBound)
        while index < userRanges.count, userRanges[index].lowerBound < range.upperBound {
            let part = userRanges[index].clamped(to: range)
            clipped.append(part.lowerBound - range.lowerBound..<part.upperBound - range.lowerBound)
            index += 1
        }
        return PromptText(bytes: Array(bytes[range]), userRanges: clipped)
    }

    /// The index of the first user range that ends behind a byte offset; their number if none does.
    func firstUserRange(endingBehind offset: Int) -> Int {
        var (low, high) = (0, userRanges.count)
        while low < high {
            let middle = (low + high) / 2
            if userRanges[middle].upperBound > offset { high = middle } else { low = middle + 1 }
        }
        return low
    }

    /// Adds bytes of which all, or none, are a user's.
    mutating func append(_ more: some Collection<UInt8>, isUser: Bool) {
        let start = bytes.count
        bytes.append(contentsOf: more)
        guard isUser, bytes.count > start else { return }
        addUserRange(start..<bytes.count)
    }

    /// Adds text that no user wrote.
    package mutating func append(_ text: String) { bytes.append(contentsOf: text.utf8) }

    /// Adds a text with its knowledge of what a user wrote.
    public mutating func append(_ other: PromptText) {
        let start = bytes.count
        bytes.append(contentsOf: other.bytes)
        for range in other.userRanges { addUserRange(range.lowerBound + start..<range.upperBound + start) }
    }

    private mutating func addUserRange(_ range: Range<Int>) {
        if let last = userRanges.last, last.upperBound == range.lowerBound {
            userRanges[userRanges.count - 1] = last.lowerBound..<range.upperBound
        } else {
            userRanges.append(range)
        }
    }

    static func + (first: PromptText, second: PromptText) -> PromptText {
        var sum = first
        sum.append(second)
        return sum
    }
}

extension PromptText: Hashable {
    public static func == (first: PromptText, second: PromptText) -> Bool { first.bytes == second.bytes }
    public func hash(into hasher: inout Hasher) { bytes.withUnsafeBytes { hasher.combine(bytes: $0) } }
}

extension PromptText: ExpressibleByStringInterpolation {
    /// What the source code spells out is the program's own text; each value that is put in is a user's.
    public struct StringInterpolation: StringInterpolationProtocol {
        fileprivate var text = PromptText()

        public init(literalCapacity: Int, interpolationCount: Int) {}

        public mutating func appendLiteral(_ literal: String) { text.append(literal) }
        public mutating func appendInterpolation(_ value: some CustomStringConvertible) {
            text.append(PromptText(user: value.description))
        }
        /// A text that knows itself what of it a user wrote.
        public mutating func appendInterpolation(_ value: PromptText) { text.append(value) }
    }

    public init(stringLiteral value: String) { self.init(value) }
    public init(stringInterpolation: StringInterpolation) { self = stringInterpolation.text }
}

// MARK: Characters

extension PromptText {
    /// A character with its bytes, and whether a user wrote it.
    struct Element {
        let scalar: Unicode.Scalar
        let range: Range<Int>
        let isUser: Bool
    }

    /// Calls `body` with each Unicode scalar in order.
    func forEachScalar(_ body: (Element) -> Void) {
        var userIndex = 0
        var offset = 0
        for scalar in string.unicodeScalars {
            let end = offset + UTF8.width(scalar)
            while userIndex < userRanges.count, userRanges[userIndex].upperBound <= offset { userIndex += 1 }
            let isUser = userIndex < userRanges.count && userRanges[userIndex].lowerBound <= offset
            body(Element(scalar: scalar, range: offset..<end, isUser: isUser))
            offset = end
        }
    }

    var elements: [Element] {
        var elements: [Element] = []
        elements.reserveCapacity(bytes.count)
        forEachScalar { elements.append($0) }
        return elements
    }

    /// Unicode scalars.
    var scalarCount: Int { bytes.reduce(into: 0) { count, byte in if byte & 0xc0 != 0x80 { count += 1 } } }

    /// The text of one of its characters. ASCII shares its storage.
    func text(of element: Element) -> PromptText {
        let ranges = element.isUser ? [0..<element.range.count] : []
        guard element.range.count == 1 else {
            return PromptText(bytes: Array(bytes[element.range]), userRanges: ranges)
        }
        return PromptText(
            bytes: Self.asciiBytes[Int(bytes[element.range.lowerBound] & 0x7f)],
            userRanges: element.isUser ? Self.wholeByte : [])
    }

    private static let asciiBytes: [[UInt8]] = (0..<128).map { [$0] }
    private static let wholeByte = [0..<1]

    /// The byte offset where the character at an index begins, counted from the start; the end if there are fewer.
    func offset(ofScalar index: Int) -> Int {
        var seen = 0
        for offset in bytes.indices where bytes[offset] & 0xc0 != 0x80 {
            if seen == index { return offset }
            seen += 1
        }
        return bytes.count
    }

    /// Each character replaced by others.
    func mapScalars(_ transform: (Element) -> String) -> PromptText {
        var result = PromptText()
        result.bytes.reserveCapacity(bytes.count)
        forEachScalar { result.append(transform($0).utf8, isUser: $0.isUser) }
        return result
    }

    mutating func append(_ scalar: Unicode.Scalar, isUser: Bool) {
        if scalar.isASCII {
            append(CollectionOfOne(UInt8(scalar.value)), isUser: isUser)
        } else {
            append(String(scalar).utf8, isUser: isUser)
        }
    }
}
