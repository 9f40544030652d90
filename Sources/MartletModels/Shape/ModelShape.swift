// SPDX-License-Identifier: Apache-2.0

package import MartletCompute

/// Everything that varies by number among models of a family: with the family's wiring it makes the programs.
package struct ModelShape: Hashable, Sendable {
    package var hiddenSize: Int
    package var vocabularySize: Int
    /// Positions the model was trained for.
    package var contextLength: Int
    /// What embeddings are multiplied with.
    package var embeddingScale: Float = 1
    /// The norm of embeddings, if they have one.
    package var embeddingNorm: NormShape?
    /// Whether a learned embedding of the position, one for each of the context's, is added to the token's.
    package var hasPositionTable = false
    /// What attention's and feed-forward's results are multiplied with before they are added.
    package var residualScale: Float = 1
    package var layers: [LayerShape]
    /// The norm before the output projection.
    package var outputNorm: NormShape
    /// Whether the output projection is the embedding table.
    package var tiesOutput: Bool
    /// What logits are multiplied with.
    package var logitScale: Float = 1
    /// c in `c * tanh(logit / c)`.
    package var logitSoftcap: Float?

    package init(
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

extension ModelShape {
    /// Whether all layers' activations have as many columns.
    var layersAreAlike: Bool {
        Set(layers.map(\.attention.heads)).count == 1 && Set(layers.compactMap(\.feedForward.size)).count < 2
    }
}

package struct LayerShape: Hashable, Sendable {
    package var attention: AttentionShape
    package var feedForward: FeedForwardShape
    /// The norms around attention and feed-forward.
    package var norm: NormShape
    /// Where those norms are.
    package var normNames = NormNames()
    /// What the residual stream is multiplied with behind the layer.
    package var outputScale: Float = 1
    /// Which projections have biases.
    package var biases: Biases = []
    /// Which projections the checkpoint stores as one matrix.
    package var fused: Fused = []

    package struct Biases: OptionSet, Hashable, Sendable {
        package let rawValue: Int

        package init(rawValue: Int) { self.rawValue = rawValue }

        package static let queryKeyValue = Biases(rawValue: 1)
        package static let attentionOutput = Biases(rawValue: 2)
        package static let feedForward = Biases(rawValue: 4)
        /// The router's and the experts'.
        package static let experts = Biases(rawValue: 8)
    }

    package struct Fused: OptionSet, Hashable, Sendable {
        package let rawValue: Int

        package init(rawValue: Int) { self.rawValue = rawValue }

        /// `attn_qkv`: the rows of q, then k's, then v's.
        package static let queryKeyValue = Fused(rawValue: 1)
        /// `ffn_up`: the rows of the gate, then what it lets through.
        package static let gateUp = Fused(rawValue: 2)
    }

    /// A layer's norms by the names that GGUF gives their weights; nil where there is none.
    package struct NormNames: Hashable, Sendable {
        package var attentionInput: String? = "attn_norm"
        package var attentionOutput: String?
        package var feedForwardInput: String? = "ffn_norm"
        package var feedForwardOutput: String?

        package init() {}

        /// Before and behind both.
        package static var around: NormNames {
            var names = behind
            (names.attentionInput, names.feedForwardInput) = ("attn_norm", "ffn_norm")
            return names
        }

        /// Behind both alone.
        package static var behind: NormNames {
            var names = NormNames()
            (names.attentionInput, names.attentionOutput) = (nil, "post_attention_norm")
            (names.feedForwardInput, names.feedForwardOutput) = (nil, "post_ffw_norm")
            return names
        }

        /// Before both, where GGUF names the second after what it follows.
        package static var beforeBoth: NormNames {
            var names = NormNames()
            names.feedForwardInput = "post_attention_norm"
            return names
        }
    }

    package init(attention: AttentionShape, feedForward: FeedForwardShape, norm: NormShape) {
        self.attention = attention
        self.feedForward = feedForward
        self.norm = norm
    }
}

package struct NormShape: Hashable, Sendable {
    package var kind: NormKind
    package var epsilon: Float
    package var hasBias: Bool

    package init(_ kind: NormKind = .rootMeanSquare, epsilon: Float, hasBias: Bool = false) {
        self.kind = kind
        self.epsilon = epsilon
        self.hasBias = hasBias
    }
}

package struct AttentionShape: Hashable, Sendable {
    package var heads: AttentionHeads
    /// What `q . k` is multiplied with.
    package var scale: Float
    package var visibility = AttentionVisibility()
    /// c in `c * tanh(score / c)`.
    package var softcap: Float?
    package var alibi: ALiBi?
    /// Whether each head has a sink.
    package var hasSinks = false
    /// nil: positions are not rotated.
    package var rotary: RotaryEmbedding?
    package var pairing = HeadRotation.Pairing.halves
    /// The norm of queries and keys, if they have one.
    package var headNorm: NormShape?
    /// What one of those norms' means is taken over.
    package var headNormExtent = HeadNorm.Extent.head
    /// The norm of each head's values, without weights, if they have one.
    package var valueNorm: NormShape?
    /// Whether values are what keys are before their norm and rotation.
    package var valuesAreKeys = false
    /// Whether each head has weights of its own in those norms.
    package var headNormIsPerHead = false
    /// What queries, keys and values are held to, below and above.
    package var clamp: Float?
    package var queryTemperature: QueryTemperature?

    /// The scale is `1 / sqrt(headSize)`.
    package init(heads: AttentionHeads, rotary: RotaryEmbedding?) {
        self.heads = heads
        self.rotary = rotary
        scale = Float(1 / Double(heads.headSize).squareRoot())
    }
}

package enum FeedForwardShape: Hashable, Sendable {
    /// `down(gate(gate(x), up(x)))` of a size.
    case gated(Int, Gate)
    /// `down(activation(up(x)))` of a size.
    case plain(Int, Activation)
    case experts(ExpertsShape)

    /// Columns of its activations; nil for experts, which have none of the layer's.
    var size: Int? {
        switch self {
        case .gated(let size, _), .plain(let size, _): size
        case .experts: nil
        }
    }
}

package struct ExpertsShape: Hashable, Sendable {
    package var count: Int
    package var chosen: Int
    /// Each expert's feed-forward size.
    package var size: Int
    package var gate: Gate
    package var scoring: RouteKernel.Scoring
    /// As in `RouteKernel`.
    package var normalizes = true
    package var scale: Float = 1
    package var hasChoiceBias = false
    /// An expert that every token is sent to.
    package var shared: SharedExpert?

    package struct SharedExpert: Hashable, Sendable {
        package var size: Int
        /// Whether a gate of its own says how much it counts.
        package var isGated: Bool

        package init(size: Int, isGated: Bool) {
            self.size = size
            self.isGated = isGated
        }
    }

    package init(count: Int, chosen: Int, size: Int, gate: Gate, scoring: RouteKernel.Scoring) {
        self.count = count
        self.chosen = chosen
        self.size = size
        self.gate = gate
        self.scoring = scoring
    }
}
