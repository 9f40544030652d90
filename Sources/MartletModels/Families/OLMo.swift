// SPDX-License-Identifier: Apache-2.0

import MartletCompute

/// OLMo 2 and 3: norms behind attention and feed-forward alone, and of a row's whole q and k. OLMo 3 has a window in three
/// of four layers, whose rotations are not stretched.
package enum OLMo2: ModelFamily {
    package static let architectures = ["olmo2"]
    package static let hubArchitectures = ["olmo2", "olmo3"]

    package static func traits(_ metadata: any ModelMetadata) -> FamilyTraits {
        var traits = FamilyTraits()
        traits.normNames = .behind
        traits.windowPattern = 4
        traits.scalesWindowRotations = metadata.isGGUF
        return traits
    }

    package static func hubNames(_ metadata: any ModelMetadata) -> HubNames { .behind }
}

/// OLMoE: experts whose scores aren't divided by their sum.
package enum OLMoE: ModelFamily {
    package static let architectures = ["olmoe"]

    package static func traits(_ metadata: any ModelMetadata) -> FamilyTraits {
        var traits = FamilyTraits()
        traits.normalizesExperts = false
        traits.reads = [.clamp]
        return traits
    }
}
