// SPDX-License-Identifier: Apache-2.0

package import MartletCheckpoints
import MartletCompute

/// Granite 3, its mixtures of experts, and Granite with windows: embeddings, branches, scores and logits are scaled.
package enum Granite: ModelFamily {
    package static let architectures = ["granite", "granitemoe", "granite_swa"]
    package static let hubArchitectures = ["granite", "granitemoe", "granitemoeshared", "granite_swa"]

    package static func traits(_ metadata: any ModelMetadata) -> FamilyTraits {
        var traits = Llama.traits(metadata)
        traits.windowPattern = 0
        traits.reads = [.embeddingScale, .residualScale, .attentionScale, .logitScale, .isRotated]
        return traits
    }

    package static func hubNames(_ metadata: any ModelMetadata) -> HubNames {
        var names = HubNames()
        names.inner["block_sparse_moe.router.layer"] = ["ffn_gate_inp"]
        names.inner["block_sparse_moe.input_linear"] = [
            .init("ffn_gate_exps", rows: .part(0, of: 2)), .init("ffn_up_exps", rows: .part(1, of: 2)),
        ]
        names.inner["block_sparse_moe.output_linear"] = ["ffn_down_exps"]
        names.inner["shared_mlp.input_linear"] = [
            .init("ffn_gate_shexp", rows: .part(0, of: 2)), .init("ffn_up_shexp", rows: .part(1, of: 2)),
        ]
        names.inner["shared_mlp.output_linear"] = ["ffn_down_shexp"]
        return names
    }

    package static func finish(_ shape: inout ModelShape, _ metadata: any ModelMetadata) throws(CheckpointError) {
        if let divisor = try metadata.factor(.logitScale) { shape.logitScale = 1 / divisor }
    }
}
