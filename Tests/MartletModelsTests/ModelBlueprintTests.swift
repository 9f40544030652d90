// SPDX-License-Identifier: Apache-2.0

import MartletCheckpoints
import MartletCompute
import MartletModels
import MartletTestSupport
import Testing

/// A tiny model with one thing changed, and the error it must give.
private struct BadModel: CustomTestStringConvertible, Sendable {
    let name: String
    let code: CheckpointError.Code
    private let model = TinyModel()
    let removed: String?
    let added: @Sendable (inout GGUFWriter) -> Void
    var testDescription: String { name }

    init(
        _ name: String, _ code: CheckpointError.Code, removing removed: String? = nil,
        adding added: @escaping @Sendable (inout GGUFWriter) -> Void = { _ in }
    ) {
        (self.name, self.code, self.removed, self.added) = (name, code, removed, added)
    }

    /// Replaces a number of the metadata.
    static func replacing(_ key: String, _ value: UInt32, _ code: CheckpointError.Code) -> BadModel {
        BadModel("\(key) = \(value)", code, removing: key) { $0.add(key, value) }
    }

    var bytes: [UInt8] {
        var writer = GGUFWriter()
        for pair in model.writer.pairs {
            if let removed, pair.starts(with: GGUFWriter.string(removed)) { continue }
            writer.add(raw: pair)
        }
        added(&writer)
        var file = writer
        for tensor in model.writer.tensors { file.add(copying: tensor) }
        return file.file
    }

    static let all: [BadModel] = [
        .replacing("llama.block_count", 0, .invalidMetadata),
        .replacing("llama.block_count", 1 << 31, .invalidMetadata),
        .replacing("llama.block_count", 3, .missingTensor), .replacing("llama.block_count", 1, .unsupportedModel),
        .replacing("llama.attention.head_count", 0, .invalidMetadata),
        .replacing("llama.attention.head_count_kv", 0, .invalidMetadata),
        .replacing("llama.attention.head_count_kv", 4, .invalidMetadata),
        .replacing("llama.attention.head_count_kv", 7, .invalidMetadata),
        .replacing("llama.attention.head_count", 1 << 30, .invalidMetadata),
        .replacing("llama.attention.key_length", 0, .invalidMetadata),
        .replacing("llama.attention.key_length", 1, .invalidMetadata),
        .replacing("llama.context_length", 1, .invalidMetadata),
        .replacing("llama.attention.key_length", 1 << 30, .invalidMetadata),
        .replacing("llama.attention.key_length", 32, .wrongTensorShape),
        .replacing("llama.embedding_length", 0, .invalidMetadata),
        .replacing("llama.embedding_length", 64, .wrongTensorShape),
        .replacing("llama.embedding_length", .max, .invalidMetadata),
        .replacing("llama.feed_forward_length", 0, .invalidMetadata),
        .replacing("llama.feed_forward_length", .max, .invalidMetadata),
        .replacing("llama.context_length", 0, .invalidMetadata),
        .replacing("llama.context_length", .max, .invalidMetadata),
        BadModel("rope base NaN", .invalidMetadata, removing: "llama.rope.freq_base") {
            $0.add("llama.rope.freq_base", Float.nan)
        },
        BadModel("rope base 0", .invalidMetadata, removing: "llama.rope.freq_base") {
            $0.add("llama.rope.freq_base", Float(0))
        },
        BadModel("odd rotary dimensions", .invalidMetadata) { $0.add("llama.rope.dimension_count", UInt32(7)) },
        BadModel("too many rotary dimensions", .invalidMetadata) { $0.add("llama.rope.dimension_count", UInt32(18)) },
        BadModel("epsilon NaN", .invalidMetadata, removing: "llama.attention.layer_norm_rms_epsilon") {
            $0.add("llama.attention.layer_norm_rms_epsilon", Float.nan)
        },
        BadModel("vocabulary size", .invalidMetadata) { $0.add("llama.vocab_size", UInt32(7)) },
        BadModel("linear scaling by 0", .invalidMetadata) {
            $0.add("llama.rope.scaling.type", "linear")
            $0.add("llama.rope.scaling.factor", Float(0))
        },
        BadModel("yarn beside factors", .unsupportedModel) {
            $0.add("llama.rope.scaling.type", "yarn")
            $0.add(tensor: "rope_freqs.weight", dimensions: [8], type: 0, data: [UInt8](repeating: 0x3f, count: 32))
        },
        BadModel("rope factors of zero", .invalidMetadata) {
            $0.add(tensor: "rope_freqs.weight", dimensions: [8], type: 0, data: [UInt8](repeating: 0, count: 32))
        },
        BadModel("yarn without a factor", .missingMetadata) { $0.add("llama.rope.scaling.type", "yarn") },
        BadModel("factors and a factor", .unsupportedModel) {
            $0.add("llama.rope.scaling.factor", Float(2))
            $0.add(tensor: "rope_freqs.weight", dimensions: [8], type: 0, data: [UInt8](repeating: 0x3f, count: 32))
        },
        BadModel("a count too many", .invalidMetadata, removing: "llama.feed_forward_length") {
            $0.add("llama.feed_forward_length", [Int32(96), 96, 96])
        },
        BadModel("a count too few", .invalidMetadata, removing: "llama.feed_forward_length") {
            $0.add("llama.feed_forward_length", [Int32(96)])
        },
        BadModel("both ways", .unsupportedModel) { $0.add("llama.attention.causal", false) },
        BadModel("embeddings", .unsupportedModel) { $0.add("llama.pooling_type", UInt32(3)) },
        BadModel("scaled scores", .unsupportedModel) { $0.add("llama.attention.scale", Float(0.1)) },
        BadModel("scaled logits", .unsupportedModel) { $0.add("llama.logit_scale", Float(8)) },
        BadModel("scaled embeddings", .unsupportedModel) { $0.add("llama.embedding_scale", Float(12)) },
        BadModel("scaled branches", .unsupportedModel) { $0.add("llama.residual_scale", Float(0.2)) },
        BadModel("experts of which none is chosen", .missingMetadata) { $0.add("llama.expert_count", UInt32(8)) },
        BadModel("window", .unsupportedModel) { $0.add("llama.attention.sliding_window", UInt32(64)) },
        BadModel("another family", .unsupportedModel, removing: "general.architecture") {
            $0.add("general.architecture", "mamba")
        },
        BadModel("no family", .missingMetadata, removing: "general.architecture"),
        BadModel("no layers", .missingMetadata, removing: "llama.block_count"),
        BadModel("layers as text", .wrongMetadataType, removing: "llama.block_count") {
            $0.add("llama.block_count", "2")
        },
        BadModel("unknown tensor", .unsupportedModel) {
            $0.add(
                tensor: "blk.0.attn_sub_norm.weight", dimensions: [8], type: 0, data: [UInt8](repeating: 0, count: 32))
        },
        BadModel("rope factors of the wrong length", .wrongTensorShape) {
            $0.add(tensor: "rope_freqs.weight", dimensions: [4], type: 0, data: [UInt8](repeating: 0, count: 16))
        },
    ]
}

extension GGUFWriter {
    /// Adds a tensor of another file under the place that is free here.
    fileprivate mutating func add(copying tensor: (record: [UInt8], data: [UInt8])) {
        let nameLength = Int(tensor.record[0]) | Int(tensor.record[1]) << 8
        let name = String(decoding: tensor.record[8..<8 + nameLength], as: UTF8.self)
        let count = Int(tensor.record[8 + nameLength])
        let words = tensor.record[(12 + nameLength)...]
        let dimensions = (0..<count).map { index in
            (0..<8).reduce(UInt64(0)) { $0 | UInt64(words[words.startIndex + index * 8 + $1]) << (8 * UInt64($1)) }
        }
        add(tensor: name, dimensions: dimensions, type: UInt32(words[words.startIndex + count * 8]), data: tensor.data)
    }
}

extension ModelBlueprint {
    fileprivate var scaling: RotaryEmbedding.Scaling? { shape.layers[0].attention.rotary?.scaling }
}

@Suite struct ModelBlueprintTests {
    @Test func readsATinyModel() throws {
        var model = TinyModel()
        model.hasOutput = true
        model.hasBias = true
        let file = try model.write()
        let blueprint = try ModelBlueprint(of: GGUFFile(path: file.path))
        #expect(blueprint.shape.layers.count == 2)
        #expect(
            blueprint.shape.layers[0].attention.heads == AttentionHeads(queryHeads: 6, keyValueHeads: 2, headSize: 16))
        #expect(!blueprint.shape.tiesOutput && blueprint.shape.layers.allSatisfy { $0.biases == .queryKeyValue })
        #expect(blueprint.matrixType == .q4_1)
        let vectors = blueprint.entries.filter { $0.use.roles.contains(.vector) }
        #expect(blueprint.entries.count - vectors.count == 2 + 2 * 7 && vectors.count == 1 + 2 * 5)
    }

    @Test func scalingIsRead() throws {
        var writer = TinyModel().writer
        writer.add("llama.rope.scaling.type", "linear")
        writer.add("llama.rope.scaling.factor", Float(2))
        let file = try TemporaryFile(writer.file)
        #expect(try ModelBlueprint(of: GGUFFile(path: file.path)).scaling == .linear(factor: 2))

        // A factor alone is linear too, and 0 is none.
        for (factor, scaling) in [(4, .linear(factor: 4)), (0, .none)] as [(Float, RotaryEmbedding.Scaling)] {
            writer = TinyModel().writer
            writer.add("llama.rope.scaling.factor", factor)
            let file = try TemporaryFile(writer.file)
            #expect(try ModelBlueprint(of: GGUFFile(path: file.path)).scaling == scaling)
        }

        writer = TinyModel().writer
        let factors: [Float] = [1, 1, 1, 2, 4, 8, 8, 8]
        writer.add(
            tensor: "rope_freqs.weight", dimensions: [8], type: 0,
            data: factors.flatMap { GGUFWriter.bytes($0.bitPattern) })
        let other = try TemporaryFile(writer.file)
        #expect(
            try ModelBlueprint(of: GGUFFile(path: other.path)).scaling
                == .factors(factors.map(Double.init)))
    }

    /// F11 and F18: hostile numbers, and metadata that disagrees with the tensors.
    @Test(arguments: BadModel.all) fileprivate func hostileModelsAreRefused(_ bad: BadModel) throws {
        let file = try TemporaryFile(bad.bytes)
        let error = try #require(throws: CheckpointError.self) { try ModelBlueprint(of: GGUFFile(path: file.path)) }
        #expect(error.code == bad.code, "\(error)")
    }
}
