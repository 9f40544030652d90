// SPDX-License-Identifier: Apache-2.0

package import MartletCheckpoints
package import MartletCompute

/// Models that are wired alike: how their checkpoints say what varies by number, and how a layer is wired.
package protocol ModelFamily: Sendable {
    /// What GGUF files and `config.json` call it.
    static var architectures: [String] { get }

    /// What the metadata says; refuses what the family's programs would compute wrongly.
    static func shape(of metadata: any ModelMetadata) throws(CheckpointError) -> ModelShape

    /// Wires a layer; by default with a norm before attention and one before feed-forward.
    static func layer(_ builder: inout LayerBuilder)

    /// Tensors that a checkpoint may hold and no program reads.
    static var tensorsWithoutKernel: Set<String> { get }
}

extension ModelFamily {
    package static func layer(_ builder: inout LayerBuilder) {
        builder.add(builder.attention(builder.norm(builder.hidden, "attn_norm")))
        builder.add(builder.feedForward(builder.norm(builder.hidden, "ffn_norm")))
    }

    package static var tensorsWithoutKernel: Set<String> { [] }

    /// The programs of a model of this family.
    package static func programs(_ shape: ModelShape) -> DecoderPrograms {
        var builder = LayerBuilder(shape)
        builder.embed()
        for index in shape.layers.indices {
            builder.index = index
            layer(&builder)
        }
        builder.output()
        return DecoderPrograms(builder.kernels)
    }
}

/// The families that can be loaded.
package enum ModelFamilies {
    package static let all: [any ModelFamily.Type] = [Llama.self, Mistral.self, Qwen2.self]

    /// The family that a checkpoint names.
    package static func family(of metadata: any ModelMetadata) throws(CheckpointError) -> any ModelFamily.Type {
        let architecture = try metadata.architecture
        var known: [String] = []
        for family in all {
            if family.architectures.contains(architecture) { return family }
            known += family.architectures
        }
        throw CheckpointError(
            .unsupportedModel,
            "models of architecture \(architecture.debugDescription) are not supported; "
                + "\(known.joined(separator: ", ")) are")
    }
}
