// SPDX-License-Identifier: Apache-2.0

package import MartletCheckpoints
import MartletCompute

/// Gemma: embeddings are scaled, gates are gelu. GGUF files hold the norms' weights with the 1 added that Gemma adds.
package enum Gemma: ModelFamily {
    package static let architectures = ["gemma"]

    package static func traits(_ metadata: any ModelMetadata) -> FamilyTraits {
        var traits = FamilyTraits()
        traits.feedForward = .gated(.product(.geluTanh))
        return traits
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

    package static func finish(_ shape: inout ModelShape, _ metadata: any ModelMetadata) throws(CheckpointError) {
        try Gemma.finish(&shape, metadata)
        if try metadata.factor(.attentionScale) == nil { Gemma.scaleQueries(of: &shape, ifLayers: 46) }
    }
}

/// Gemma 3: no caps, norms of heads, a window with rotations of its own in five of six layers.
package enum Gemma3: ModelFamily {
    package static let architectures = ["gemma3"]

    package static func traits(_ metadata: any ModelMetadata) -> FamilyTraits {
        var traits = Gemma2.traits(metadata)
        traits.windowPattern = 6
        traits.windowRopeBase = 10_000
        return traits
    }

    package static func finish(_ shape: inout ModelShape, _ metadata: any ModelMetadata) throws(CheckpointError) {
        try Gemma.finish(&shape, metadata)
        if try metadata.factor(.attentionScale) == nil { Gemma.scaleQueries(of: &shape, ifLayers: 62) }
    }
}

/// Gemma 4, dense: layers with a window have heads of their own; values have a norm, or are the keys; each layer has a scale.
package enum Gemma4: ModelFamily {
    package static let architectures = ["gemma4"]
    private static let outputScale = "layer_output_scale.weight"
    package static let tensorsWithoutKernel: Set = [RotaryEmbedding.factorTensor, outputScale]

    package static func traits(_ metadata: any ModelMetadata) -> FamilyTraits {
        var traits = Gemma3.traits(metadata)
        traits.reads = [.logitCap]
        return traits
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
