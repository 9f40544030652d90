// SPDX-License-Identifier: Apache-2.0

package import MartletCheckpoints
import MartletCompute

/// SmolLM 3: every fourth layer isn't rotated.
package enum SmolLM3: ModelFamily {
    package static let architectures = ["smollm3"]

    package static func traits(_ metadata: any ModelMetadata) -> FamilyTraits { Llama.traits(metadata) }

    package static func finish(_ shape: inout ModelShape, _ metadata: any ModelMetadata) throws(CheckpointError) {
        // A configuration may list them.
        guard try metadata.flag(.rotatedLayers, layer: 0) == nil else { return }
        for index in stride(from: 3, to: shape.layers.count, by: 4) { shape.layers[index].attention.rotary = nil }
    }
}
