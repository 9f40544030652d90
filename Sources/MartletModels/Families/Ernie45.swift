// SPDX-License-Identifier: Apache-2.0

import MartletCompute

/// ERNIE 4.5, dense and with experts.
package enum Ernie45: ModelFamily {
    package static let architectures = ["ernie4_5", "ernie4_5-moe"]

    package static func traits(_ metadata: any ModelMetadata) -> FamilyTraits {
        var traits = FamilyTraits()
        traits.pairing = .adjacent
        return traits
    }
}
