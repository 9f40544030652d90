// SPDX-License-Identifier: Apache-2.0

package import MartletCheckpoints
import MartletCompute

/// EXAONE 4: norms behind attention and feed-forward alone, and of heads. Where layers have windows, those without aren't
/// rotated.
package enum EXAONE4: ModelFamily {
    package static let architectures = ["exaone4"]
    package static let tensorsWithoutKernel: Set = [RotaryEmbedding.factorTensor]

    package static func traits(_ metadata: any ModelMetadata) -> FamilyTraits {
        var traits = FamilyTraits()
        traits.normNames = .behind
        traits.windowPattern = 4
        return traits
    }

    package static func hubNames(_ metadata: any ModelMetadata) -> HubNames { .behind }

    package static func finish(_ shape: inout ModelShape, _ metadata: any ModelMetadata) throws(CheckpointError) {
        guard let window = try metadata.count(.window), window > 0 else { return }
        for index in shape.layers.indices where shape.layers[index].attention.visibility.scope == .all {
            shape.layers[index].attention.rotary = nil
        }
    }
}
