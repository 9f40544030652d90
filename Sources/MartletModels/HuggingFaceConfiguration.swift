// SPDX-License-Identifier: Apache-2.0

import FoundationEssentials
public import MartletCheckpoints
public import MartletCompute

/// A Hugging Face `config.json` of the Llama family.
public struct HuggingFaceConfiguration {
    /// Far more than any has.
    private static let maximumBytes = 1 << 20

    private struct File: Decodable {
        struct Rope: Decodable {
            var ropeType: String?
            var type: String?
            var ropeTheta: Double?
            var factor: Double?
            var lowFreqFactor: Double?
            var highFreqFactor: Double?
            var originalMaxPositionEmbeddings: Int?

            private enum CodingKeys: String, CodingKey {
                case ropeType = "rope_type"
                case type, factor
                case ropeTheta = "rope_theta"
                case lowFreqFactor = "low_freq_factor"
                case highFreqFactor = "high_freq_factor"
                case originalMaxPositionEmbeddings = "original_max_position_embeddings"
            }
        }

        var modelType: String?
        var hiddenSize: Int?
        var intermediateSize: Int?
        var numHiddenLayers: Int?
        var numAttentionHeads: Int?
        var numKeyValueHeads: Int?
        var headDim: Int?
        var vocabSize: Int?
        var maxPositionEmbeddings: Int?
        var rmsNormEps: Double?
        var ropeTheta: Double?
        var ropeScaling: Rope?
        /// The two above in newer files.
        var ropeParameters: Rope?
        var tieWordEmbeddings: Bool?
        var attentionBias: Bool?
        var mlpBias: Bool?
        var hiddenAct: String?
        var slidingWindow: Int?
        var torchDtype: String?
        /// The same in newer files.
        var dtype: String?
        var numLocalExperts: Int?
        var partialRotaryFactor: Double?
        var quantizationConfig: Anything?

        private enum CodingKeys: String, CodingKey {
            case modelType = "model_type"
            case hiddenSize = "hidden_size"
            case intermediateSize = "intermediate_size"
            case numHiddenLayers = "num_hidden_layers"
            case numAttentionHeads = "num_attention_heads"
            case numKeyValueHeads = "num_key_value_heads"
            case headDim = "head_dim"
            case vocabSize = "vocab_size"
            case maxPositionEmbeddings = "max_position_embeddings"
            case rmsNormEps = "rms_norm_eps"
            case ropeTheta = "rope_theta"
            case ropeScaling = "rope_scaling"
            case ropeParameters = "rope_parameters"
            case tieWordEmbeddings = "tie_word_embeddings"
            case attentionBias = "attention_bias"
            case mlpBias = "mlp_bias"
            case hiddenAct = "hidden_act"
            case slidingWindow = "sliding_window"
            case torchDtype = "torch_dtype"
            case dtype
            case numLocalExperts = "num_local_experts"
            case partialRotaryFactor = "partial_rotary_factor"
            case quantizationConfig = "quantization_config"
        }
    }

    /// Something that is there, whatever it holds.
    private struct Anything: Decodable {
        init(from decoder: any Swift.Decoder) {}
    }

    private let file: File
    private let path: String

    /// Reads it; whether a decoder can be made of it `decoder` says.
    public init(_ file: MappedFile) throws(CheckpointError) {
        guard file.bytes.count <= Self.maximumBytes else {
            throw CheckpointError(.impossibleCount, "\(file.path) has \(file.bytes.count) bytes; that is no model's")
        }
        path = file.path
        do {
            self.file = try JSONDecoder().decode(File.self, from: Data(file.bytes))
        } catch let error as DecodingError {
            throw CheckpointError(.invalidMetadata, "\(file.path) can't be used: \(error.explanation)")
        } catch {
            throw CheckpointError(.invalidMetadata, "\(file.path) is not JSON, or a number of it is out of range")
        }
    }

    /// What the weights of such a model are stored as.
    public var elementType: ElementType {
        get throws(CheckpointError) {
            switch file.dtype ?? file.torchDtype ?? "bfloat16" {
            case "float32": return .float32
            case "float16": return .float16
            case "bfloat16": return .bfloat16
            case let other:
                throw CheckpointError(
                    .unsupportedTensorType,
                    "weights of type \(other) are not supported; float32, float16 and bfloat16 are")
            }
        }
    }

    /// Maps it onto a decoder, and refuses what that would compute wrongly.
    public var decoder: DecoderConfiguration {
        get throws(CheckpointError) {
            func required(_ value: Int?, _ name: String) throws(CheckpointError) -> Int {
                guard let value else { throw CheckpointError(.missingMetadata, "\(path) lacks \(name)") }
                guard value > 0 else { throw CheckpointError(.invalidMetadata, "\(name) is \(value)") }
                return value
            }
            guard let type = file.modelType else {
                throw CheckpointError(.missingMetadata, "\(path) lacks model_type")
            }
            guard ["llama", "mistral"].contains(type) else {
                throw CheckpointError(
                    .unsupportedModel,
                    "models of type \(type.debugDescription) are not supported; llama and mistral are")
            }
            guard file.attentionBias != true, file.mlpBias != true else {
                throw CheckpointError(.unsupportedModel, "biases of attention and feed-forward are not supported")
            }
            guard file.numLocalExperts ?? 0 == 0, file.partialRotaryFactor ?? 1 == 1, file.quantizationConfig == nil
            else {
                throw CheckpointError(
                    .unsupportedModel,
                    "num_local_experts, partial_rotary_factor and quantization_config are not supported")
            }
            guard file.hiddenAct ?? "silu" == "silu" else {
                throw CheckpointError(.unsupportedModel, "the activation \(file.hiddenAct ?? "") is not supported")
            }
            let contextLength = try required(file.maxPositionEmbeddings, "max_position_embeddings")
            if let window = file.slidingWindow, window < contextLength {
                throw CheckpointError(
                    .unsupportedModel, "sliding-window attention (\(window) tokens) is not supported")
            }
            let hiddenSize = try required(file.hiddenSize, "hidden_size")
            let queryHeads = try required(file.numAttentionHeads, "num_attention_heads")
            let headSize = file.headDim ?? hiddenSize / queryHeads
            let configuration = DecoderConfiguration(
                layers: try required(file.numHiddenLayers, "num_hidden_layers"), hiddenSize: hiddenSize,
                feedForwardSize: try required(file.intermediateSize, "intermediate_size"),
                heads: try DecoderConfiguration.heads(
                    queryHeads: queryHeads, keyValueHeads: file.numKeyValueHeads ?? queryHeads,
                    headSize: headSize),
                vocabularySize: try required(file.vocabSize, "vocab_size"), contextLength: contextLength,
                normEpsilon: Float(file.rmsNormEps ?? 1e-6),
                rotary: RotaryEmbedding(
                    dimensions: headSize, base: file.ropeTheta ?? file.ropeParameters?.ropeTheta ?? 10_000,
                    scaling: try scaling),
                tiesOutput: file.tieWordEmbeddings ?? false, hasQueryKeyValueBias: false)
            try configuration.validate()
            return configuration
        }
    }

    private var scaling: RotaryEmbedding.Scaling {
        get throws(CheckpointError) {
            guard let rope = file.ropeScaling ?? file.ropeParameters else { return .none }
            func required(_ value: Double?, _ name: String) throws(CheckpointError) -> Double {
                guard let value, value.isFinite, value > 0 else {
                    throw CheckpointError(.invalidMetadata, "rope_scaling needs a positive \(name)")
                }
                return value
            }
            let type = rope.ropeType ?? rope.type ?? "default"
            switch type {
            case "default": return .none
            case "linear": return .linear(factor: try required(rope.factor, "factor"))
            case "llama3":
                guard let original = rope.originalMaxPositionEmbeddings, original > 0 else {
                    throw CheckpointError(
                        .invalidMetadata, "rope_scaling needs a positive original_max_position_embeddings")
                }
                return .llama3(
                    factor: try required(rope.factor, "factor"),
                    lowFrequencyFactor: try required(rope.lowFreqFactor, "low_freq_factor"),
                    highFrequencyFactor: try required(rope.highFreqFactor, "high_freq_factor"),
                    originalContextLength: original)
            default:
                throw CheckpointError(
                    .unsupportedModel, "rope scaling \(type) is not supported; linear and llama3 are")
            }
        }
    }
}

extension DecodingError {
    fileprivate var explanation: String {
        switch self {
        case .typeMismatch(_, let context), .valueNotFound(_, let context), .keyNotFound(_, let context),
            .dataCorrupted(let context):
            let path = context.codingPath.map(\.stringValue).joined(separator: ".")
            return path.isEmpty ? context.debugDescription : "\(path): \(context.debugDescription)"
        @unknown default: return "it is not what a model's is"
        }
    }
}
