// SPDX-License-Identifier: Apache-2.0

package import MartletCheckpoints
import MartletCompute

/// Granite 3, its mixtures of experts, and Granite with windows: embeddings, branches, scores and logits are scaled.
package enum Granite: ModelFamily {
    package static let architectures = ["granite", "granitemoe", "granite_swa"]

    package static func traits(_ metadata: any ModelMetadata) -> FamilyTraits {
        var traits = Llama.traits(metadata)
        traits.windowPattern = 0
        traits.reads = [.embeddingScale, .residualScale, .attentionScale, .logitScale, .isRotated]
        return traits
    }

    package static func finish(_ shape: inout ModelShape, _ metadata: any ModelMetadata) throws(CheckpointError) {
        if let divisor = try metadata.factor(.logitScale) { shape.logitScale = 1 / divisor }
    }
}
