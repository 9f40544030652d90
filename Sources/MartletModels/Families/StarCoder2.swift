// SPDX-License-Identifier: Apache-2.0

import MartletCompute

/// StarCoder 2: layer norms, biases everywhere, feed-forward without a gate.
package enum StarCoder2: ModelFamily {
    package static let architectures = ["starcoder2"]

    package static func traits(_ metadata: any ModelMetadata) -> FamilyTraits {
        var traits = FamilyTraits()
        traits.norm = .layer
        traits.feedForward = .plain(.geluTanh)
        traits.windowPattern = 0
        return traits
    }

    package static func hubNames(_ metadata: any ModelMetadata) -> HubNames {
        var names = HubNames()
        names.inner["mlp.c_fc"] = ["ffn_up"]
        names.inner["mlp.c_proj"] = ["ffn_down"]
        return names
    }
}
