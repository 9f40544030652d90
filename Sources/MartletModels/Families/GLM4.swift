// SPDX-License-Identifier: Apache-2.0

import MartletCompute

/// GLM-4-0414: norms on both sides, half of each head rotated.
package enum GLM4: ModelFamily {
    package static let architectures = ["glm4"]

    package static func traits(_ metadata: any ModelMetadata) -> FamilyTraits {
        var traits = FamilyTraits()
        traits.pairing = .adjacent
        traits.normNames = .around
        return traits
    }

    package static func hubNames(_ metadata: any ModelMetadata) -> HubNames {
        var names = HubNames()
        names.inner["post_self_attn_layernorm"] = ["post_attention_norm"]
        names.inner["post_mlp_layernorm"] = ["post_ffw_norm"]
        return names
    }
}

/// GLM-4.5 and 4.6: experts behind the first layers, and one that every token is sent to.
package enum GLM4MoE: ModelFamily {
    package static let architectures = ["glm4moe"]
    package static let hubArchitectures = ["glm4_moe"]

    package static func traits(_ metadata: any ModelMetadata) -> FamilyTraits {
        var traits = FamilyTraits()
        traits.normNames = .beforeBoth
        traits.expertScoring = .sigmoid
        return traits
    }

    package static func hubNames(_ metadata: any ModelMetadata) -> HubNames { .beforeBoth }
}
