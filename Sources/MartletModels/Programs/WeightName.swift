// SPDX-License-Identifier: Apache-2.0

/// The names of a decoder's weights; those of GGUF, which every checkpoint format is mapped onto.
public enum WeightName {
    public static let embedding = "token_embd.weight"
    public static let outputNorm = "output_norm"
    public static let output = "output.weight"

    public static func layer(_ layer: Int, _ name: String) -> String { "blk.\(layer).\(name)" }
}
