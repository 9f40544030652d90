// SPDX-License-Identifier: Apache-2.0

package import MartletCheckpoints
import MartletCompute
package import MartletJSON

/// Gemma: embeddings are scaled, gates are gelu. GGUF files hold the norms' weights with the 1 added that Gemma adds.
package enum Gemma: ModelFamily {
    package static let architectures = ["gemma"]

    package static func traits(_ metadata: any ModelMetadata) -> FamilyTraits {
        var traits = FamilyTraits()
        traits.feedForward = .gated(.product(.geluTanh))
        return traits
    }

    package static func hubNames(_ metadata: any ModelMetadata) -> HubNames {
        var names = HubNames()
        names.normOffset = 1
        return names
    }

    /// With norms on both sides.
    fileprivate static var namesAround: HubNames {
        var names = HubNames.behind
        names.inner["pre_feedforward_layernorm"] = ["ffn_norm"]
        names.normOffset = 1
        return names
    }

    /// Scales scores as a configuration says. GGUF files hold the scale itself, or leave it to the family.
    fileprivate static func scaleScores(
        of shape: inout ModelShape, _ metadata: any ModelMetadata
    ) throws(CheckpointError) -> Bool {
        guard let divisor = try metadata.factor(.scoreDivisor) else { return false }
        guard divisor > 0 else {
            throw CheckpointError(.invalidMetadata, "\(metadata.key(.scoreDivisor)) is \(divisor)")
        }
        for index in shape.layers.indices { shape.layers[index].attention.scale = 1 / divisor.squareRoot() }
        return true
    }

    package static func finish(_ shape: inout ModelShape, _ metadata: any ModelMetadata) throws(CheckpointError) {
        shape.embeddingScale = Float(shape.hiddenSize).squareRoot()
    }

    /// The largest models' queries are scaled by the width and not the head's. No key says so; their depth does.
    fileprivate static func scaleQueries(of shape: inout ModelShape, ifLayers count: Int) {
        guard shape.layers.count == count else { return }
        for index in shape.layers.indices {
            let perHead = Float(shape.hiddenSize) / Float(shape.layers[index].attention.heads.queryHeads)
            shape.layers[index].attention.scale = 1 / perHead.squareRoot()
        }
    }
}

/// Gemma 2: norms on both sides, caps, a window in every other layer.
package enum Gemma2: ModelFamily {
    package static let architectures = ["gemma2"]

    package static func traits(_ metadata: any ModelMetadata) -> FamilyTraits {
        var traits = Gemma.traits(metadata)
        traits.normNames = .around
        traits.windowPattern = 2
        traits.reads = [.scoreCap, .logitCap, .attentionScale]
        return traits
    }

    package static func hubNames(_ metadata: any ModelMetadata) -> HubNames { Gemma.namesAround }

    package static func finish(_ shape: inout ModelShape, _ metadata: any ModelMetadata) throws(CheckpointError) {
        try Gemma.finish(&shape, metadata)
        if try Gemma.scaleScores(of: &shape, metadata) { return }
        if try metadata.factor(.attentionScale) == nil { Gemma.scaleQueries(of: &shape, ifLayers: 46) }
    }
}

/// Gemma 3: no caps, norms of heads, a window with rotations of its own in five of six layers.
package enum Gemma3: ModelFamily {
    package static let architectures = ["gemma3"]
    package static let hubArchitectures = ["gemma3", "gemma3_text"]
    /// The larger models' configurations say little.
    package static let hubDefaults = JSONObject(
        ([
            ("vocab_size", 262_208), ("num_attention_heads", 8), ("num_key_value_heads", 4), ("head_dim", 256),
            ("max_position_embeddings", 131_072), ("sliding_window", 4096), ("rope_theta", 1_000_000),
            ("query_pre_attn_scalar", 256),
        ] as [(String, JSONValue)]).map { JSONObject.Member(key: $0.0, value: $0.1) })

    package static func traits(_ metadata: any ModelMetadata) -> FamilyTraits {
        var traits = Gemma2.traits(metadata)
        traits.windowPattern = 6
        traits.windowRopeBase = 10_000
        return traits
    }

    package static func hubNames(_ metadata: any ModelMetadata) -> HubNames { Gemma.namesAround }

    package static func finish(_ shape: inout ModelShape, _ metadata: any ModelMetadata) throws(CheckpointError) {
        try Gemma.finish(&shape, metadata)
        if try Gemma.scaleScores(of: &shape, metadata) { return }
        if try metadata.factor(.attentionScale) == nil { Gemma.scaleQueries(of: &shape, ifLayers: 62) }
    }
}

/// Gemma 4, dense: layers with a window have heads of their own; values have a norm, or are the keys; each layer has a scale.
package enum Gemma4: ModelFamily {
    package static let architectures = ["gemma4"]
    package static let hubArchitectures = ["gemma4", "gemma4_text"]
    private static let outputScale = "layer_output_scale.weight"
    package static let tensorsWithoutKernel: Set = [RotaryEmbedding.factorTensor, outputScale]

    package static func traits(_ metadata: any ModelMetadata) -> FamilyTraits {
        var traits = Gemma3.traits(metadata)
        traits.reads = [.logitCap]
        return traits
    }

    package static func hubNames(_ metadata: any ModelMetadata) -> HubNames {
        var names = Gemma.namesAround
        names.normOffset = 0
        names.inner["layer_scalar"] = ["layer_output_scale.weight"]
        return names
    }

    package static func finish(_ shape: inout ModelShape, _ metadata: any ModelMetadata) throws(CheckpointError) {
        try Gemma.finish(&shape, metadata)
        for index in shape.layers.indices {
            if case .experts = shape.layers[index].feedForward {
                throw CheckpointError(.unsupportedModel, "Gemma 4 with experts is not supported; dense models are")
            }
            shape.layers[index].attention.scale = 1
            shape.layers[index].attention.valueNorm = NormShape(epsilon: shape.layers[index].norm.epsilon)
            shape.layers[index].attention.valuesAreKeys = !metadata.holds("attn_v.weight", layer: index)
            if let scale = try metadata.vector(WeightName.layer(index, outputScale), length: 1)?.first {
                shape.layers[index].outputScale = Float(scale)
            }
        }
    }
}
