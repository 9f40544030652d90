// SPDX-License-Identifier: Apache-2.0

package import MartletCheckpoints
package import MartletCompute
package import MartletJSON

/// Models that are wired alike: how their checkpoints say what varies by number, and how a layer is wired.
package protocol ModelFamily: Sendable {
    /// What GGUF files call it.
    static var architectures: [String] { get }

    /// What a `config.json` calls it.
    static var hubArchitectures: [String] { get }

    /// How the hub's checkpoints name and lay out what its programs read.
    static func hubNames(_ metadata: any ModelMetadata) throws(CheckpointError) -> HubNames

    /// What a `config.json` means that leaves keys out.
    static var hubDefaults: JSONObject { get }

    /// What the metadata doesn't say of any model of the family.
    static func traits(_ metadata: any ModelMetadata) -> FamilyTraits

    /// Adds to a shape what no other family has; refuses what the family's programs would compute wrongly.
    static func finish(_ shape: inout ModelShape, _ metadata: any ModelMetadata) throws(CheckpointError)

    /// Wires a layer; by default attention and then feed-forward, with the norms that the shape names.
    static func layer(_ builder: inout LayerBuilder)

    /// Tensors, without the name of a layer, that a checkpoint may hold and no program reads.
    static var tensorsWithoutKernel: Set<String> { get }
}

extension ModelFamily {
    package static func layer(_ builder: inout LayerBuilder) { builder.sequentialLayer() }

    package static var tensorsWithoutKernel: Set<String> { [] }

    package static var hubArchitectures: [String] { architectures }

    package static func hubNames(_ metadata: any ModelMetadata) throws(CheckpointError) -> HubNames { HubNames() }

    package static var hubDefaults: JSONObject { JSONObject() }

    package static func traits(_ metadata: any ModelMetadata) -> FamilyTraits { FamilyTraits() }

    package static func finish(_ shape: inout ModelShape, _ metadata: any ModelMetadata) throws(CheckpointError) {}

    /// What the metadata says.
    ///
    /// - Parameter longest: tokens of the longest sequence that will be computed; nil for the model's own context.
    package static func shape(
        of metadata: any ModelMetadata, longest: Int? = nil
    ) throws(CheckpointError) -> ModelShape {
        var shape = try ModelShape(reading: metadata, traits(metadata), longest: longest)
        try finish(&shape, metadata)
        return shape
    }

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
    package static let all: [any ModelFamily.Type] = [
        Llama.self, Mistral.self, Mistral3.self, Qwen2.self, Qwen2MoE.self, Qwen3.self, Gemma.self, Gemma2.self,
        Gemma3.self, Gemma4.self,
        Phi3.self, SmolLM3.self, Granite.self, OLMo2.self, OLMoE.self, GPTOSS.self, GLM4.self, GLM4MoE.self,
        Cohere2.self, Ernie45.self, EXAONE4.self, SeedOSS.self, StarCoder2.self, StableLM.self, GPT2.self, MPT.self,
        BLOOM.self, MiniMaxM2.self,
    ]

    /// The family that a checkpoint names.
    package static func family(of metadata: any ModelMetadata) throws(CheckpointError) -> any ModelFamily.Type {
        let architecture = try metadata.architecture
        var known: [String] = []
        for family in all {
            let names = metadata.isGGUF ? family.architectures : family.hubArchitectures
            if names.contains(architecture) { return family }
            known += names
        }
        throw CheckpointError(
            .unsupportedModel,
            "models of architecture \(architecture.debugDescription) are not supported; "
                + "\(known.joined(separator: ", ")) are")
    }
}
