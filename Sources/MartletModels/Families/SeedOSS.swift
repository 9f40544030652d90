// SPDX-License-Identifier: Apache-2.0

import MartletCompute

/// Seed-OSS: Qwen 2 with a name of its own for the second norm.
package enum SeedOSS: ModelFamily {
    package static let architectures = ["seed_oss"]

    package static func traits(_ metadata: any ModelMetadata) -> FamilyTraits {
        var traits = FamilyTraits()
        traits.normNames = .beforeBoth
        return traits
    }

    package static func hubNames(_ metadata: any ModelMetadata) -> HubNames { .beforeBoth }
}
