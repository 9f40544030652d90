// SPDX-License-Identifier: Apache-2.0

import MartletCompute

/// MiniMax-M2: norms of a row's whole q and k, half of each head rotated, experts by sigmoid scores.
package enum MiniMaxM2: ModelFamily {
    package static let architectures = ["minimax-m2"]
    package static let hubArchitectures = ["minimax_m2"]

    package static func traits(_ metadata: any ModelMetadata) -> FamilyTraits {
        var traits = FamilyTraits()
        traits.expertScoring = .sigmoid
        return traits
    }
}
