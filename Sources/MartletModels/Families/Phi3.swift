// SPDX-License-Identifier: Apache-2.0

import MartletCompute

/// Phi 3, 3.5, 4 and 4-mini: fused projections, and rotations stretched by factors of their own (longrope).
package enum Phi3: ModelFamily {
    package static let architectures = ["phi3"]
    package static let tensorsWithoutKernel: Set = [
        RotaryEmbedding.longFactorTensor, RotaryEmbedding.shortFactorTensor,
    ]

    package static func traits(_ metadata: any ModelMetadata) -> FamilyTraits {
        var traits = FamilyTraits()
        traits.windowPattern = 0
        return traits
    }
}
