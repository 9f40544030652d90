// SPDX-License-Identifier: Apache-2.0

import MartletCompute

/// gpt-oss: experts with biases and clamped gates, sinks, a window in every other layer.
package enum GPTOSS: ModelFamily {
    package static let architectures = ["gpt-oss"]

    package static func traits(_ metadata: any ModelMetadata) -> FamilyTraits {
        var traits = FamilyTraits()
        traits.normNames = .beforeBoth
        traits.feedForward = .gated(.clampedSwiGLU(alpha: 1.702, limit: 7))
        traits.expertScoring = .softmaxOfChosen
        traits.windowPattern = 2
        traits.truncatesYaRN = false
        return traits
    }
}
