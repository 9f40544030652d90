// SPDX-License-Identifier: Apache-2.0

package import MartletCompute

extension CheckpointHeader {
    /// The same model with as many layers, heads, experts and tokens, and everything else `factor` times as large: rows of
    /// tiny models are shorter than the blocks of some formats.
    package func scaled(by factor: Int) -> CheckpointHeader {
        var scaled = self
        for index in pairs.indices where Self.sizes.contains(where: { pairs[index].key.hasSuffix(".\($0)") }) {
            let pair = pairs[index]
            // Numbers of 32 bits, behind the type and the count where it is an array.
            let first = pair.type == 9 ? 12 : 0
            let numbers = stride(from: first, to: pair.value.count, by: 4).flatMap { start -> [UInt8] in
                let number = (0..<4).reduce(UInt32(0)) { $0 | UInt32(pair.value[start + $1]) << (8 * UInt32($1)) }
                return GGUFWriter.bytes(number * UInt32(factor))
            }
            scaled.pairs[index] = Pair(key: pair.key, type: pair.type, value: pair.value[..<first] + numbers)
        }
        for index in tensors.indices {
            for dimension in tensors[index].dimensions.indices
            where !Self.isCount(dimension, of: tensors[index]) {
                scaled.tensors[index].dimensions[dimension] *= factor
            }
        }
        return scaled
    }

    private static let sizes = [
        "embedding_length", "feed_forward_length", "expert_feed_forward_length",
        "expert_shared_feed_forward_length", "attention.key_length", "attention.value_length",
        "attention.key_length_swa", "attention.value_length_swa", "rope.dimension_count", "rope.dimension_count_swa",
    ]

    /// Whether a dimension counts heads, experts, tokens or positions.
    private static func isCount(_ dimension: Int, of tensor: Tensor) -> Bool {
        let name = tensor.name.split(separator: ".").dropFirst(tensor.name.hasPrefix("blk.") ? 2 : 0).first ?? ""
        switch name {
        case "token_embd", "output", "position_embd", "ffn_gate_inp": return dimension == tensor.dimensions.count - 1
        case "attn_q_norm", "attn_k_norm": return dimension == 1
        case "ffn_gate_inp_shexp": return dimension == 1
        case "attn_sinks", "exp_probs_b", "layer_output_scale": return true
        default: return name.hasSuffix("_exps") && dimension == tensor.dimensions.count - 1
        }
    }

    /// The same with its matrices in all `types`, in turn from `first` on, each where rows are whole blocks of it.
    package func quantized(in types: [ElementType], first: Int) -> CheckpointHeader {
        var (quantized, next) = (self, first)
        for index in tensors.indices where tensors[index].type == .bfloat16 {
            let fitting = (0..<types.count).first {
                tensors[index].dimensions[0] % types[(next + $0) % types.count].blockLength == 0
            }
            guard let fitting else { continue }
            // What was passed over comes next.
            quantized.tensors[index].type = types[(next + fitting) % types.count]
            next += fitting + 1
        }
        return quantized
    }
}
