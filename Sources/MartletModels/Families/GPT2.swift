// SPDX-License-Identifier: Apache-2.0

package import MartletCheckpoints
import MartletCompute

/// GPT-2: positions are learned and added to the embeddings.
package enum GPT2: ModelFamily {
    package static let architectures = ["gpt2"]

    package static func traits(_ metadata: any ModelMetadata) -> FamilyTraits {
        var traits = FamilyTraits()
        traits.norm = .layer
        traits.feedForward = .plain(.geluTanh)
        return traits
    }

    package static func finish(_ shape: inout ModelShape, _ metadata: any ModelMetadata) throws(CheckpointError) {
        for index in shape.layers.indices { shape.layers[index].attention.rotary = nil }
    }
}
