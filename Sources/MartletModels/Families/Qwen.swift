// SPDX-License-Identifier: Apache-2.0

package import MartletCheckpoints
import MartletCompute

/// Qwen 2 and 2.5, and what was distilled into them: Llama with biases of q, k and v.
package enum Qwen2: ModelFamily {
    package static let architectures = ["qwen2"]

    package static func finish(_ shape: inout ModelShape, _ metadata: any ModelMetadata) throws(CheckpointError) {
        for index in shape.layers.indices { shape.layers[index].biases.insert(.queryKeyValue) }
    }
}

/// Qwen 3 and its mixture of experts: norms of q's and k's heads instead, which the checkpoint's tensors say.
package enum Qwen3: ModelFamily {
    package static let architectures = ["qwen3", "qwen3moe"]
    package static let hubArchitectures = ["qwen3", "qwen3_moe"]
}

/// Qwen 2's mixture of experts: one expert more, which its own gate weighs.
package enum Qwen2MoE: ModelFamily {
    package static let architectures = ["qwen2moe"]
    package static let hubArchitectures = ["qwen2_moe"]

    package static func traits(_ metadata: any ModelMetadata) -> FamilyTraits {
        var traits = FamilyTraits()
        traits.normalizesExperts = false
        return traits
    }
}
