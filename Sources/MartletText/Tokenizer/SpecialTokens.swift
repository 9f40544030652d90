// SPDX-License-Identifier: Apache-2.0

/// A token that is found in a text before it is cut.
package struct SpecialToken: Sendable, Equatable {
    package let id: Int32
    /// What it is spelled as.
    package let bytes: [UInt8]
    /// Whether text from a user may become it.
    package let isOpen: Bool
    /// Whether whitespace before it is left out, and behind it.
    package let stripsLeft: Bool
    package let stripsRight: Bool

    package init(
        id: Int32, bytes: [UInt8], isOpen: Bool, stripsLeft: Bool = false, stripsRight: Bool = false
    ) {
        self.id = id
        self.bytes = bytes
        self.isOpen = isOpen
        self.stripsLeft = stripsLeft
        self.stripsRight = stripsRight
    }

    /// Those that a vocabulary's kinds of tokens tell: control tokens, and what a user defined.
    static func all(of vocabulary: Vocabulary, strippingRight: Set<Int32>) -> [SpecialToken] {
        vocabulary.kinds.indices.compactMap { index in
            let kind = vocabulary.kinds[index]
            guard kind == .control || kind == .userDefined || kind == .unknown else { return nil }
            return SpecialToken(
                id: Int32(index), bytes: vocabulary.bytes[index], isOpen: kind == .userDefined,
                stripsRight: strippingRight.contains(Int32(index)))
        }
    }
}

/// Finds special tokens in text: leftmost first, of those the longest.
///
/// Control tokens, and all that end an answer, are found only in bytes that no user wrote. User-defined tokens are found
/// everywhere, as Hugging Face's tokenizers find them.
struct SpecialTokens: Sendable {
    private struct Node {
        /// The token that ends here; -1 for none.
        var token: Int32 = -1
        /// Whether text from a user may become it.
        var isOpen = false
    }

    /// A trie of the tokens' bytes; node 0 is its root.
    private var nodes = [Node()]
    /// `[256]`: the root's child by a byte; 0 for none.
    private var firstChildren = [Int32](repeating: 0, count: 256)
    /// The child of any other node by `node * 256 + byte`.
    private var children: [Int: Int32] = [:]

    /// Tokens before and behind which whitespace is left out.
    private let strippingLeft: Set<Int32>
    private let strippingRight: Set<Int32>

    /// - Parameter guarded: tokens that text from a user never becomes, whatever they say of themselves.
    init(_ tokens: [SpecialToken], guarded: Set<Int32>) {
        strippingLeft = Set(tokens.filter(\.stripsLeft).map(\.id))
        strippingRight = Set(tokens.filter(\.stripsRight).map(\.id))
        for token in tokens where token.bytes.count <= 1024 {
            let isGuarded = guarded.contains(token.id) || Self.looksLikeControl(token.bytes)
            add(token.bytes, token.id, isOpen: token.isOpen && !isGuarded)
        }
    }

    /// Some files call even the tokens that begin and end turns user-defined: `<|im_start|>`.
    private static func looksLikeControl(_ bytes: [UInt8]) -> Bool {
        bytes.starts(with: "<|".utf8) && bytes.suffix(2).elementsEqual("|>".utf8)
    }

    private mutating func add(_ bytes: [UInt8], _ token: Int32, isOpen: Bool) {
        var node = 0
        for byte in bytes {
            if let child = child(of: node, by: byte) {
                node = child
                continue
            }
            nodes.append(Node())
            let child = nodes.count - 1
            if node == 0 {
                firstChildren[Int(byte)] = Int32(child)
            } else {
                children[node * 256 + Int(byte)] = Int32(child)
            }
            node = child
        }
        // The first of the tokens with the same bytes counts. An empty token is never found.
        guard node != 0, nodes[node].token < 0 else { return }
        nodes[node] = Node(token: token, isOpen: isOpen)
    }

    private func child(of node: Int, by byte: UInt8) -> Int? {
        guard node == 0 else { return children[node * 256 + Int(byte)].map(Int.init) }
        let child = Int(firstChildren[Int(byte)])
        return child == 0 ? nil : child
    }

    /// The token whose bytes are all of `bytes`.
    func token(of bytes: [UInt8]) -> Int32? {
        var node = 0
        for byte in bytes {
            guard let child = child(of: node, by: byte) else { return nil }
            node = child
        }
        return nodes[node].token < 0 ? nil : nodes[node].token
    }

    private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0d).contains(byte) }

    enum Piece: Equatable {
        /// Bytes of the text.
        case text(Range<Int>)
        case special(Int32)
    }

    /// The text cut at its special tokens.
    ///
    /// - Parameter isOver: asked now and then with the bytes that were looked at since; true gives up.
    /// - Returns: nil where that was given up.
    /// - Complexity: O(n) times the length of the longest beginning of a token that the text repeats.
    func split(_ text: PromptText, unless isOver: (Int) -> Bool) -> [Piece]? {
        var pieces: [Piece] = []
        var (start, index, looked) = (0, 0, 0)
        var userIndex = 0
        let (bytes, userRanges) = (text.bytes, text.userRanges)
        while index < bytes.count {
            if looked >= 4096 {
                if isOver(looked) { return nil }
                looked = 0
            }
            looked += 1
            guard firstChildren[Int(bytes[index])] != 0 else {
                index += 1
                continue
            }
            while userIndex < userRanges.count, userRanges[userIndex].upperBound <= index { userIndex += 1 }
            // Bytes up to here are the template's alone.
            let ownEnd = userIndex < userRanges.count ? max(index, userRanges[userIndex].lowerBound) : bytes.count
            var (node, end) = (0, index)
            var found: (token: Int32, end: Int)?
            while end < bytes.count, let child = child(of: node, by: bytes[end]) {
                (node, end) = (child, end + 1)
                if nodes[node].token >= 0, nodes[node].isOpen || end <= ownEnd { found = (nodes[node].token, end) }
            }
            looked += end - index
            guard let found else {
                index += 1
                continue
            }
            var last = index
            if strippingLeft.contains(found.token) { while last > start, Self.isSpace(bytes[last - 1]) { last -= 1 } }
            if start < last { pieces.append(.text(start..<last)) }
            pieces.append(.special(found.token))
            index = found.end
            if strippingRight.contains(found.token) {
                while index < bytes.count, Self.isSpace(bytes[index]) { index += 1 }
            }
            start = index
        }
        if start < bytes.count { pieces.append(.text(start..<bytes.count)) }
        return pieces
    }
}
