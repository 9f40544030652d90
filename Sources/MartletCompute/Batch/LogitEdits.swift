// SPDX-License-Identifier: Apache-2.0

/// Added to a token's logit; minus infinity bans it.
package struct TokenBias: Equatable, BitwiseCopyable, Sendable {
    package var token: Int32
    package var bias: Float

    package init(token: Int32, bias: Float) {
        self.token = token
        self.bias = bias
    }
}

/// How often an answer holds a token that the prompt or the answer holds.
package struct TokenCount: Equatable, BitwiseCopyable, Sendable {
    package var token: Int32
    /// 0 where only the prompt holds it.
    package var count: Int32

    package init(token: Int32, count: Int32) {
        self.token = token
        self.count = count
    }
}

/// Changes to logits before a token is drawn, by the sequence's table row: first the mask, then biases in their order, then
/// the row's penalties by the counts. Fixed buffers, written between steps.
package final class LogitEdits {
    /// How much of each a sequence may have.
    package struct Capacity: Hashable, Sendable {
        package var biases: Int
        package var counts: Int
        /// Tokens that a mask covers.
        package var vocabularySize: Int

        package init(biases: Int, counts: Int, vocabularySize: Int) {
            precondition(biases >= 0 && counts >= 0 && vocabularySize >= 0)
            self.biases = biases
            self.counts = counts
            self.vocabularySize = vocabularySize
        }

        package static let none = Capacity(biases: 0, counts: 0, vocabularySize: 0)

        /// Words of a mask, 64 tokens each.
        package var maskWords: Int { (vocabularySize + 63) / 64 }
    }

    /// How much of each a sequence has.
    package struct Extent: BitwiseCopyable, Sendable {
        package var biases: Int32 = 0
        package var counts: Int32 = 0
        package var hasMask: Bool = false
    }

    package let capacity: Capacity
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
    package func clear(_ sequence: Int) { extents[sequence] = Extent() }

    /// - Precondition: the sequence has fewer than `capacity.biases`.
    package func append(_ bias: TokenBias, to sequence: Int) {
        let count = Int(extents[sequence].biases)
        precondition(count < capacity.biases, "too many biases")
        biasStorage[sequence * capacity.biases + count] = bias
        extents[sequence].biases += 1
    }

    /// - Precondition: at most `capacity.counts`.
    package func setCounts(_ counts: UnsafeBufferPointer<TokenCount>, of sequence: Int) {
        precondition(counts.count <= capacity.counts, "too many token counts")
        extents[sequence].counts = Int32(counts.count)
        guard let source = counts.baseAddress, let storage = countStorage.baseAddress else { return }
        (storage + sequence * capacity.counts).update(from: source, count: counts.count)
    }

    /// - Precondition: `capacity.maskWords` words.
    package func setMask(_ words: [UInt64], of sequence: Int) {
        precondition(words.count == capacity.maskWords, "a mask of another vocabulary")
        extents[sequence].hasMask = true
        guard let storage = maskStorage.baseAddress else { return }
        (storage + sequence * capacity.maskWords).update(from: words, count: words.count)
    }

    package func biases(of sequence: Int) -> UnsafeBufferPointer<TokenBias> {
        slice(biasStorage, row: sequence, stride: capacity.biases, count: extents[sequence].biases)
    }

    package func counts(of sequence: Int) -> UnsafeBufferPointer<TokenCount> {
        slice(countStorage, row: sequence, stride: capacity.counts, count: extents[sequence].counts)
    }

    /// nil where every token may be drawn.
    package func mask(of sequence: Int) -> UnsafePointer<UInt64>? {
        guard extents[sequence].hasMask, let storage = maskStorage.baseAddress else { return nil }
        return UnsafePointer(storage + sequence * capacity.maskWords)
    }

    private func slice<Element>(
        _ storage: UnsafeMutableBufferPointer<Element>, row: Int, stride: Int, count: Int32
    ) -> UnsafeBufferPointer<Element> {
        UnsafeBufferPointer(start: storage.baseAddress.map { $0 + row * stride }, count: Int(count))
    }
}
