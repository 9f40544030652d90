// SPDX-License-Identifier: Apache-2.0

/// The names of a decoder's weights; those of GGUF, which every checkpoint format is mapped onto.
package enum WeightName {
    package static let embedding = "token_embd.weight"
    package static let outputNorm = "output_norm"
    package static let output = "output.weight"

    package static func layer(_ layer: Int, _ name: String) -> String { "blk.\(layer).\(name)" }
}
