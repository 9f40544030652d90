// SPDX-License-Identifier: Apache-2.0

/// Added to a token's logit; minus infinity bans it.
public struct TokenBias: Equatable, BitwiseCopyable, Sendable {
    public var token: Int32
    public var bias: Float

    public init(token: Int32, bias: Float) {
        self.token = token
        self.bias = bias
    }
}

/// How often an answer holds a token that the prompt or the answer holds.
public struct TokenCount: Equatable, BitwiseCopyable, Sendable {
    public var token: Int32
    /// 0 where only the prompt holds it.
    public var count: Int32

    public init(token: Int32, count: Int32) {
        self.token = token
        self.count = count
    }
}

/// Changes to logits before a token is drawn, by the sequence's table row: first the mask, then biases in their order, then
/// the row's penalties by the counts. Fixed buffers, written between steps.
public final class LogitEdits {
    /// How much of each a sequence may have.
    public struct Capacity: Hashable, Sendable {
        public var biases: Int
        public var counts: Int
        /// Tokens that a mask covers.
        public var vocabularySize: Int

        public init(biases: Int, counts: Int, vocabularySize: Int) {
            precondition(biases >= 0 && counts >= 0 && vocabularySize >= 0)
            self.biases = biases
            self.counts = counts
            self.vocabularySize = vocabularySize
        }

        public static let none = Capacity(biases: 0, counts: 0, vocabularySize: 0)

        /// Words of a mask, 64 tokens each.
        public var maskWords: Int { (vocabularySize + 63) / 64 }
    }

    /// How much of each a sequence has.
    public struct Extent: BitwiseCopyable, Sendable {
        public var biases: Int32 = 0
        public var counts: Int32 = 0
        public var hasMask: Bool = false
    }

    public let capacity: Capacity
    private let extents: UnsafeMutableBufferPointer<Extent>
    /// `[sequences, capacity.biases]`. Memory is touched only as it is used.
    private let biasStorage: UnsafeMutableBufferPointer<TokenBias>
    /// `[sequences, capacity.counts]`
    private let countStorage: UnsafeMutableBufferPointer<TokenCount>
    /// `[sequences, capacity.maskWords]`: bit `token % 64` of word `token / 64` is set for a token that may be drawn.
    private let maskStorage: UnsafeMutableBufferPointer<UInt64>

    init(capacity: Capacity, layout: BatchLayout, memory: any BatchMemory) {
        self.capacity = capacity
        extents = memory.pointer(to: layout.logitEditExtents)
        biasStorage = memory.pointer(to: layout.biases)
        countStorage = memory.pointer(to: layout.tokenCounts)
        maskStorage = memory.pointer(to: layout.masks)
    }

    /// Forgets a sequence's edits.
    public func clear(_ sequence: Int) { extents[sequence] = Extent() }

    /// - Precondition: the sequence has fewer than `capacity.biases`.
    public func append(_ bias: TokenBias, to sequence: Int) {
        let count = Int(extents[sequence].biases)
        precondition(count < capacity.biases, "too many biases")
        biasStorage[sequence * capacity.biases + count] = bias
        extents[sequence].biases += 1
    }

    /// - Precondition: at most `capacity.counts`.
    public func setCounts(_ counts: UnsafeBufferPointer<TokenCount>, of sequence: Int) {
        precondition(counts.count <= capacity.counts, "too many token counts")
        extents[sequence].counts = Int32(counts.count)
        guard let source = counts.baseAddress, let storage = countStorage.baseAddress else { return }
        (storage + sequence * capacity.counts).update(from: source, count: counts.count)
    }

    /// - Precondition: `capacity.maskWords` words.
    public func setMask(_ words: [UInt64], of sequence: Int) {
        precondition(words.count == capacity.maskWords, "a mask of another vocabulary")
        extents[sequence].hasMask = true
        guard let storage = maskStorage.baseAddress else { return }
        (storage + sequence * capacity.maskWords).update(from: words, count: words.count)
    }

    public func biases(of sequence: Int) -> UnsafeBufferPointer<TokenBias> {
        slice(biasStorage, row: sequence, stride: capacity.biases, count: extents[sequence].biases)
    }

    public func counts(of sequence: Int) -> UnsafeBufferPointer<TokenCount> {
        slice(countStorage, row: sequence, stride: capacity.counts, count: extents[sequence].counts)
    }

    /// nil where every token may be drawn.
    public func mask(of sequence: Int) -> UnsafePointer<UInt64>? {
        guard extents[sequence].hasMask, let storage = maskStorage.baseAddress else { return nil }
        return UnsafePointer(storage + sequence * capacity.maskWords)
    }

    private func slice<Element>(
        _ storage: UnsafeMutableBufferPointer<Element>, row: Int, stride: Int, count: Int32
    ) -> UnsafeBufferPointer<Element> {
        UnsafeBufferPointer(start: storage.baseAddress.map { $0 + row * stride }, count: Int(count))
    }
}
