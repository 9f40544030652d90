// SPDX-License-Identifier: Apache-2.0

package import MartletCheckpoints
import MartletCompute

/// Qwen 2 and 2.5, and what was distilled into them: Llama with biases of q, k and v.
package enum Qwen2: ModelFamily {
    package static let architectures = ["qwen2"]

    package static func shape(of metadata: any ModelMetadata) throws(CheckpointError) -> ModelShape {
        var shape = try ModelShape(reading: metadata)
        for index in shape.layers.indices {
            shape.layers[index].attention.pairing = .halves
            shape.layers[index].biases = .queryKeyValue
        }
        return shape
    }
}
