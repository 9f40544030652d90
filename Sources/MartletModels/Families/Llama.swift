// SPDX-License-Identifier: Apache-2.0

package import MartletCheckpoints
import MartletCompute

/// Llama 2 and 3, SmolLM, TinyLlama, and in GGUF files Mistral and Mixtral.
package enum Llama: ModelFamily {
    package static let architectures = ["llama"]
    package static let tensorsWithoutKernel: Set = [RotaryEmbedding.factorTensor]

    package static func traits(_ metadata: any ModelMetadata) -> FamilyTraits {
        var traits = FamilyTraits()
        // Converting to GGUF permutes the rows of q and k, so that pairs are neighbours.
        traits.pairing = metadata.isGGUF ? .adjacent : .halves
        return traits
    }

    package static func finish(_ shape: inout ModelShape, _ metadata: any ModelMetadata) throws(CheckpointError) {
        let biases = [try metadata.flag(.attentionBias), try metadata.flag(.feedForwardBias)]
        guard metadata.tensors != nil || !biases.contains(true) else {
            throw CheckpointError(.unsupportedModel, "biases of attention and feed-forward are not supported")
        }
    }
}

/// Mistral and Mixtral as the hub has them: Llama under other names, and perhaps with a window in all layers.
package enum Mistral: ModelFamily {
    package static let architectures: [String] = []
    package static let hubArchitectures = ["mistral", "mixtral"]

    package static func traits(_ metadata: any ModelMetadata) -> FamilyTraits {
        var traits = FamilyTraits()
        traits.windowPattern = 0
        return traits
    }
}

/// Ministral 3: queries grow with the position.
package enum Mistral3: ModelFamily {
    package static let architectures = ["mistral3"]
    package static let hubArchitectures = ["ministral3"]

    package static func traits(_ metadata: any ModelMetadata) -> FamilyTraits {
        var traits = Llama.traits(metadata)
        if !metadata.isGGUF { traits.windowPattern = 0 }
        traits.reads = [.queryTemperature]
        return traits
    }

    package static func finish(_ shape: inout ModelShape, _ metadata: any ModelMetadata) throws(CheckpointError) {
        guard let beta = try metadata.number(.queryTemperature), beta != 0 else { return }
        let length = try metadata.positive(.ropeOriginalContextLength)
        for index in shape.layers.indices {
            shape.layers[index].attention.queryTemperature = QueryTemperature(beta: beta, length: length)
        }
    }
}
