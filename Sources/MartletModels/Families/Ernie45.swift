// SPDX-License-Identifier: Apache-2.0

import MartletCompute

/// ERNIE 4.5, dense and with experts.
package enum Ernie45: ModelFamily {
    package static let architectures = ["ernie4_5", "ernie4_5-moe"]
    package static let hubArchitectures = ["ernie4_5", "ernie4_5_moe"]

    package static func traits(_ metadata: any ModelMetadata) -> FamilyTraits {
        var traits = FamilyTraits()
        traits.pairing = .adjacent
        return traits
    }

    package static func hubNames(_ metadata: any ModelMetadata) -> HubNames {
        var names = HubNames()
        names.inner["mlp.moe_statics.e_score_correction_bias"] = ["exp_probs_b.bias"]
        return names
    }
}
