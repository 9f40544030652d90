// SPDX-License-Identifier: Apache-2.0

package import MartletCheckpoints
import MartletCompute

/// StableLM 2: layer norms, a part of each head rotated.
package enum StableLM: ModelFamily {
    package static let architectures = ["stablelm"]

    package static func traits(_ metadata: any ModelMetadata) -> FamilyTraits {
        var traits = FamilyTraits()
        traits.norm = .layer
        traits.reads = [.isParallel]
        return traits
    }

    package static func hubNames(_ metadata: any ModelMetadata) -> HubNames {
        var names = HubNames()
        names.inner["self_attn.q_layernorm.norms.*"] = ["attn_q_norm"]
        names.inner["self_attn.k_layernorm.norms.*"] = ["attn_k_norm"]
        return names
    }

    /// The models with a parallel residual have no norm before feed-forward.
    package static func finish(_ shape: inout ModelShape, _ metadata: any ModelMetadata) throws(CheckpointError) {
        guard try metadata.flag(.isParallel) ?? false else { return }
        for index in shape.layers.indices { shape.layers[index].normNames.feedForwardInput = nil }
    }

    package static func layer(_ builder: inout LayerBuilder) {
        if builder.layer.normNames.feedForwardInput == nil {
            builder.parallelLayer()
        } else {
            builder.sequentialLayer()
        }
    }
}
