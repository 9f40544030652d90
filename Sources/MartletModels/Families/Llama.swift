// SPDX-License-Identifier: Apache-2.0

package import MartletCheckpoints
import MartletCompute

/// Llama 2 and 3, SmolLM2, TinyLlama, and in GGUF files Mistral.
package enum Llama: ModelFamily {
    package static let architectures = ["llama"]
    package static let tensorsWithoutKernel: Set = [RotaryEmbedding.factorTensor]

    package static func shape(of metadata: any ModelMetadata) throws(CheckpointError) -> ModelShape {
        var shape = try ModelShape(reading: metadata)
        for index in shape.layers.indices {
            // Converting to GGUF permutes the rows of q and k, so that pairs are neighbours.
            shape.layers[index].attention.pairing = metadata.isGGUF ? .adjacent : .halves
            if metadata.holdsTensor(WeightName.layer(index, "attn_q.bias")) == true {
                shape.layers[index].biases.insert(.queryKeyValue)
            }
        }
        let biases = [try metadata.flag(.attentionBias), try metadata.flag(.feedForwardBias)]
        guard !biases.contains(true) else {
            throw CheckpointError(.unsupportedModel, "biases of attention and feed-forward are not supported")
        }
        return shape
    }
}

/// Mistral 7B as the hub has it: Llama under another name.
package enum Mistral: ModelFamily {
    package static let architectures = ["mistral"]

    package static func shape(of metadata: any ModelMetadata) throws(CheckpointError) -> ModelShape {
        try Llama.shape(of: metadata)
    }
}
