// SPDX-License-Identifier: Apache-2.0

/// The names of a decoder's weights; those of GGUF, which every checkpoint format is mapped onto.
package enum WeightName {
    package static let embedding = "token_embd.weight"
    package static let outputNorm = "output_norm"
    package static let output = "output.weight"
    package static let positions = "position_embd.weight"

    /// A name without the layer that it may begin with.
    static func withoutLayer(_ name: String) -> String {
        let fields = name.split(separator: ".", maxSplits: 2, omittingEmptySubsequences: false)
        guard fields.count == 3, fields[0] == "blk", Int(fields[1]) != nil else { return name }
        return String(fields[2])
    }

    package static func layer(_ layer: Int, _ name: String) -> String { "blk.\(layer).\(name)" }
}
