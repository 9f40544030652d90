// SPDX-License-Identifier: Apache-2.0

public import MartletCheckpoints
public import MartletCompute

/// Everything about a decoder that its programs depend on.
public struct DecoderConfiguration: Equatable, Sendable {
    public var layers: Int
    public var hiddenSize: Int
    public var feedForwardSize: Int
    public var heads: AttentionHeads
    public var vocabularySize: Int
    /// Positions the model was trained for.
    public var contextLength: Int
    public var normEpsilon: Float
    public var rotary: RotaryEmbedding
    /// Whether the output projection is the embedding table.
    public var tiesOutput: Bool
    public var hasQueryKeyValueBias: Bool

    /// Throws where a number is outside of what any model has: they come from a file, and everything after this
    /// multiplies and divides by them.
    public func validate() throws(CheckpointError) {
        func check(_ value: Int, _ range: ClosedRange<Int>, _ name: String) throws(CheckpointError) {
            guard range.contains(value) else {
                throw CheckpointError(.invalidMetadata, "\(name) is \(value); it must be in \(range)")
            }
        }
        try check(layers, 1...1024, "the number of layers")
        try check(hiddenSize, 1...(1 << 17), "the hidden size")
        try check(feedForwardSize, 1...(1 << 19), "the feed-forward size")
        try check(vocabularySize, 1...(1 << 22), "the vocabulary size")
        try check(contextLength, 2...(1 << 24), "the context length")
        try check(rotary.dimensions, 2...heads.headSize, "the number of rotary dimensions")
        guard rotary.dimensions % 2 == 0 else {
            throw CheckpointError(.invalidMetadata, "the number of rotary dimensions is odd")
        }
        guard rotary.base.isFinite, rotary.base > 0 else {
            throw CheckpointError(.invalidMetadata, "the rope base is \(rotary.base); it must be positive and finite")
        }
        guard rotary.inverseFrequencies.allSatisfy(\.isFinite) else {
            throw CheckpointError(.invalidMetadata, "the rope scaling yields frequencies that are not finite")
        }
        guard normEpsilon.isFinite, normEpsilon >= 0 else {
            throw CheckpointError(.invalidMetadata, "the norm's epsilon is \(normEpsilon)")
        }
    }

    /// Checks the numbers of an attention layer before `AttentionHeads` relies on them.
    public static func heads(
        queryHeads: Int, keyValueHeads: Int, headSize: Int
    ) throws(CheckpointError) -> AttentionHeads {
        guard (1...1024).contains(queryHeads), (1...queryHeads).contains(keyValueHeads),
            queryHeads % keyValueHeads == 0
        else {
            throw CheckpointError(
                .invalidMetadata,
                "\(queryHeads) query heads over \(keyValueHeads) KV heads: the first must be a multiple of the second")
        }
        guard (2...1024).contains(headSize) else {
            throw CheckpointError(.invalidMetadata, "the head size is \(headSize); it must be in 2...1024")
        }
        return AttentionHeads(queryHeads: queryHeads, keyValueHeads: keyValueHeads, headSize: headSize)
    }
}
