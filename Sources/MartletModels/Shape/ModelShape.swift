// SPDX-License-Identifier: Apache-2.0

public import MartletCompute

/// Everything that varies by number among models of a family: with the family's wiring it makes the programs.
public struct ModelShape: Hashable, Sendable {
    public var hiddenSize: Int
    public var vocabularySize: Int
    /// Positions the model was trained for.
    public var contextLength: Int
    /// What embeddings are multiplied with.
    public var embeddingScale: Float = 1
    public var layers: [LayerShape]
    /// The norm before the output projection.
    public var outputNorm: NormShape
    /// Whether the output projection is the embedding table.
    public var tiesOutput: Bool
    /// What logits are multiplied with.
    public var logitScale: Float = 1
    /// c in `c * tanh(logit / c)`.
    public var logitSoftcap: Float?

    public init(
        hiddenSize: Int, vocabularySize: Int, contextLength: Int, layers: [LayerShape], outputNorm: NormShape,
        tiesOutput: Bool
    ) {
        self.hiddenSize = hiddenSize
        self.vocabularySize = vocabularySize
        self.contextLength = contextLength
        self.layers = layers
        self.outputNorm = outputNorm
        self.tiesOutput = tiesOutput
    }
}

public struct LayerShape: Hashable, Sendable {
    public var attention: AttentionShape
    public var feedForward: FeedForwardShape
    /// The norms around attention and feed-forward.
    public var norm: NormShape
    /// Which projections have biases.
    public var biases: Biases = []

    public struct Biases: OptionSet, Hashable, Sendable {
        public let rawValue: Int

        public init(rawValue: Int) { self.rawValue = rawValue }

        public static let queryKeyValue = Biases(rawValue: 1)
        public static let attentionOutput = Biases(rawValue: 2)
        public static let feedForward = Biases(rawValue: 4)
        /// The router's and the experts'.
        public static let experts = Biases(rawValue: 8)
    }

    public init(attention: AttentionShape, feedForward: FeedForwardShape, norm: NormShape) {
        self.attention = attention
        self.feedForward = feedForward
        self.norm = norm
    }
}

public struct NormShape: Hashable, Sendable {
    public var kind: NormKind
    public var epsilon: Float
    public var hasBias: Bool

    public init(_ kind: NormKind = .rootMeanSquare, epsilon: Float, hasBias: Bool = false) {
        self.kind = kind
        self.epsilon = epsilon
        self.hasBias = hasBias
    }
}

public struct AttentionShape: Hashable, Sendable {
    public var heads: AttentionHeads
    /// What `q . k` is multiplied with.
    public var scale: Float
    public var visibility = AttentionVisibility()
    /// c in `c * tanh(score / c)`.
    public var softcap: Float?
    public var alibi: ALiBi?
    /// Whether each head has a sink.
    public var hasSinks = false
    /// nil: positions are not rotated.
    public var rotary: RotaryEmbedding?
    public var pairing = HeadRotation.Pairing.halves
    /// The norm of queries and keys, if they have one.
    public var headNorm: NormShape?
    /// What one of those norms' means is taken over.
    public var headNormExtent = HeadNorm.Extent.head
    public var queryTemperature: QueryTemperature?

    /// The scale is `1 / sqrt(headSize)`.
    public init(heads: AttentionHeads, rotary: RotaryEmbedding?) {
        self.heads = heads
        self.rotary = rotary
        scale = Float(1 / Double(heads.headSize).squareRoot())
    }
}

public enum FeedForwardShape: Hashable, Sendable {
    /// `down(gate(gate(x), up(x)))` of a size.
    case gated(Int, Gate)
    /// `down(activation(up(x)))` of a size.
    case plain(Int, Activation)
    case experts(ExpertsShape)
}

public struct ExpertsShape: Hashable, Sendable {
    public var count: Int
    public var chosen: Int
    /// Each expert's feed-forward size.
    public var size: Int
    public var gate: Gate
    public var scoring: RouteKernel.Scoring
    /// As in `RouteKernel`.
    public var normalizes = true
    public var scale: Float = 1
    public var hasChoiceBias = false

    public init(count: Int, chosen: Int, size: Int, gate: Gate, scoring: RouteKernel.Scoring) {
        self.count = count
        self.chosen = chosen
        self.size = size
        self.gate = gate
        self.scoring = scoring
    }
}
