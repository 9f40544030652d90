// SPDX-License-Identifier: Apache-2.0

package import MartletCheckpoints
import MartletCompute

/// Command R7B: attention and feed-forward side by side behind one norm; layers without the window aren't rotated.
package enum Cohere2: ModelFamily {
    package static let architectures = ["cohere2"]

    package static func traits(_ metadata: any ModelMetadata) -> FamilyTraits {
        var traits = FamilyTraits()
        traits.pairing = .adjacent
        traits.norm = .layer
        traits.windowPattern = 4
        traits.rotatesFullLayers = false
        traits.reads = [.logitScale]
        return traits
    }

    package static func finish(_ shape: inout ModelShape, _ metadata: any ModelMetadata) throws(CheckpointError) {
        shape.logitScale = try metadata.factor(.logitScale) ?? 1
    }

    package static func layer(_ builder: inout LayerBuilder) { builder.parallelLayer() }
}
