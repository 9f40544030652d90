// SPDX-License-Identifier: Apache-2.0

public import MartletCheckpoints
import MartletCompute

/// Qwen 2 and 2.5, and what was distilled into them: Llama with biases of q, k and v.
public enum Qwen2: ModelFamily {
    public static let architectures = ["qwen2"]

    public static func shape(of metadata: any ModelMetadata) throws(CheckpointError) -> ModelShape {
        var shape = try ModelShape(reading: metadata)
        for index in shape.layers.indices {
            shape.layers[index].attention.pairing = .halves
            shape.layers[index].biases = .queryKeyValue
        }
        return shape
    }
}
