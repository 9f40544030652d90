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

    /// Matrices stand with their inputs first.
    package static func hubNames(_ metadata: any ModelMetadata) -> HubNames {
        var names = HubNames()
        names.layers = "h"
        names.outer = [
            "wte": ["token_embd"], "wpe": ["position_embd"], "ln_f": ["output_norm"], "lm_head": ["output"],
        ]
        names.inner = ["ln_1": ["attn_norm"], "ln_2": ["ffn_norm"]]
        for (hub, name) in [
            ("attn.c_attn", "attn_qkv"), ("attn.c_proj", "attn_output"), ("mlp.c_fc", "ffn_up"),
            ("mlp.c_proj", "ffn_down"),
        ] { names.inner[hub] = [.init(name, isTransposed: true)] }
        return names
    }

    package static func finish(_ shape: inout ModelShape, _ metadata: any ModelMetadata) throws(CheckpointError) {
        for index in shape.layers.indices { shape.layers[index].attention.rotary = nil }
    }
}
