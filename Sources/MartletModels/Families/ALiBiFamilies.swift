// SPDX-License-Identifier: Apache-2.0

import Glibc
package import MartletCheckpoints
import MartletCompute

/// MPT: a bias that falls with the distance stands for positions (ALiBi).
package enum MPT: ModelFamily {
    package static let architectures = ["mpt"]

    package static func traits(_ metadata: any ModelMetadata) -> FamilyTraits {
        var traits = FamilyTraits()
        traits.norm = .layer
        traits.feedForward = .plain(.gelu)
        traits.reads = [.alibiBias, .clamp]
        return traits
    }

    package static func hubNames(_ metadata: any ModelMetadata) -> HubNames {
        var names = HubNames()
        names.layers = "blocks"
        names.outer = ["wte": ["token_embd"], "norm_f": ["output_norm"], "lm_head": ["output"]]
        names.inner = [
            "norm_1": ["attn_norm"], "norm_2": ["ffn_norm"], "attn.Wqkv": ["attn_qkv"],
            "attn.out_proj": ["attn_output"], "ffn.up_proj": ["ffn_up"], "ffn.down_proj": ["ffn_down"],
        ]
        return names
    }

    package static func finish(_ shape: inout ModelShape, _ metadata: any ModelMetadata) throws(CheckpointError) {
        try ALiBi.add(to: &shape, largestBias: metadata.factor(.alibiBias))
    }
}

/// BLOOM: the same, and a norm of the embeddings.
package enum BLOOM: ModelFamily {
    package static let architectures = ["bloom"]

    package static func traits(_ metadata: any ModelMetadata) -> FamilyTraits {
        var traits = FamilyTraits()
        traits.norm = .layer
        traits.feedForward = .plain(.geluTanh)
        traits.reads = [.alibiBias]
        return traits
    }

    /// A head's rows of q, k and v stand together.
    package static func hubNames(_ metadata: any ModelMetadata) throws(CheckpointError) -> HubNames {
        var names = HubNames()
        names.layers = "h"
        names.outer = [
            "word_embeddings": ["token_embd"], "word_embeddings_layernorm": ["token_embd_norm"],
            "ln_f": ["output_norm"], "lm_head": ["output"],
        ]
        names.inner = [
            "input_layernorm": ["attn_norm"], "post_attention_layernorm": ["ffn_norm"],
            "self_attention.query_key_value": [
                .init("attn_qkv", rows: .byPart(3, heads: try metadata.positive(.queryHeads)))
            ],
            "self_attention.dense": ["attn_output"], "mlp.dense_h_to_4h": ["ffn_up"], "mlp.dense_4h_to_h": ["ffn_down"],
        ]
        return names
    }

    package static func finish(_ shape: inout ModelShape, _ metadata: any ModelMetadata) throws(CheckpointError) {
        try ALiBi.add(to: &shape, largestBias: metadata.factor(.alibiBias) ?? 8)
    }
}

extension ALiBi {
    /// Gives all layers the slopes of Press et al. instead of rotations.
    ///
    /// - Parameter largestBias: the exponent of the last slope; nil for no bias at all.
    fileprivate static func add(to shape: inout ModelShape, largestBias: Float?) throws(CheckpointError) {
        for index in shape.layers.indices {
            shape.layers[index].attention.rotary = nil
            guard let largestBias else { continue }
            guard largestBias.isFinite, largestBias > 0 else {
                throw CheckpointError(.invalidMetadata, "the largest bias of ALiBi is \(largestBias)")
            }
            let heads = shape.layers[index].attention.heads.queryHeads
            shape.layers[index].attention.alibi = ALiBi(slopes: slopes(heads: heads, largestBias: Double(largestBias)))
        }
    }

    /// A geometric series for a power of two of heads; the heads beyond it lie between its members.
    static func slopes(heads: Int, largestBias: Double) -> [Float] {
        let power = 1 << (Int.bitWidth - 1 - heads.leadingZeroBitCount)
        return (0..<heads).map { head in
            let exponent =
                head < power
                ? largestBias / Double(power) * Double(head + 1)
                : largestBias / Double(2 * power) * Double(2 * (head - power) + 1)
            return Float(exp2(-exponent))
        }
    }
}
