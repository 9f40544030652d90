// SPDX-License-Identifier: Apache-2.0

public import FoundationEssentials
public import MartletCheckpoints
public import MartletCompute

/// A Hugging Face `config.json` of the Llama family.
public struct HuggingFaceConfiguration {
    /// Far more than any has.
    private static let maximumBytes = 1 << 20

    private struct File: Decodable {
        struct Rope: Decodable {
            var rope_type: String?
            var type: String?
            var rope_theta: Double?
            var factor: Double?
            var low_freq_factor: Double?
            var high_freq_factor: Double?
            var original_max_position_embeddings: Int?
        }

        var model_type: String?
        var hidden_size: Int?
        var intermediate_size: Int?
        var num_hidden_layers: Int?
        var num_attention_heads: Int?
        var num_key_value_heads: Int?
        var head_dim: Int?
        var vocab_size: Int?
        var max_position_embeddings: Int?
        var rms_norm_eps: Double?
        var rope_theta: Double?
        var rope_scaling: Rope?
        /// The two above in newer files.
        var rope_parameters: Rope?
        var tie_word_embeddings: Bool?
        var attention_bias: Bool?
        var mlp_bias: Bool?
        var hidden_act: String?
        var sliding_window: Int?
        var torch_dtype: String?
        /// The same in newer files.
        var dtype: String?
    }

    private let file: File

    public init(_ data: Data) throws(CheckpointError) {
        guard data.count <= Self.maximumBytes else {
            throw CheckpointError(.impossibleCount, "config.json has \(data.count) bytes; that is no model's")
        }
        do {
            file = try JSONDecoder().decode(File.self, from: data)
        } catch let error as DecodingError {
            throw CheckpointError(.invalidMetadata, "config.json can't be used: \(error.explanation)")
        } catch {
            throw CheckpointError(.invalidMetadata, "config.json is not JSON")
        }
    }

    /// What the weights of such a model are stored as.
    public var elementType: ElementType {
        switch file.dtype ?? file.torch_dtype {
        case "float32": .float32
        case "float16": .float16
        default: .bfloat16
        }
    }

    /// Maps it onto a decoder, and refuses what that would compute wrongly.
    public var decoder: DecoderConfiguration {
        get throws(CheckpointError) {
            func required(_ value: Int?, _ name: String) throws(CheckpointError) -> Int {
                guard let value else { throw CheckpointError(.missingMetadata, "config.json lacks \(name)") }
                guard value > 0 else { throw CheckpointError(.invalidMetadata, "\(name) is \(value)") }
                return value
            }
            let type = file.model_type ?? ""
            guard ["llama", "mistral"].contains(type) else {
                throw CheckpointError(
                    .unsupportedModel,
                    "models of type \(type.debugDescription) are not supported; llama and mistral are")
            }
            guard file.attention_bias != true, file.mlp_bias != true else {
                throw CheckpointError(.unsupportedModel, "biases of attention and feed-forward are not supported")
            }
            guard file.hidden_act ?? "silu" == "silu" else {
                throw CheckpointError(.unsupportedModel, "the activation \(file.hidden_act ?? "") is not supported")
            }
            let contextLength = try required(file.max_position_embeddings, "max_position_embeddings")
            if let window = file.sliding_window, window < contextLength {
                throw CheckpointError(
                    .unsupportedModel, "sliding-window attention (\(window) tokens) is not supported")
            }
            let hiddenSize = try required(file.hidden_size, "hidden_size")
            let queryHeads = try required(file.num_attention_heads, "num_attention_heads")
            let headSize = file.head_dim ?? hiddenSize / queryHeads
            let configuration = DecoderConfiguration(
                layers: try required(file.num_hidden_layers, "num_hidden_layers"), hiddenSize: hiddenSize,
                feedForwardSize: try required(file.intermediate_size, "intermediate_size"),
                heads: try DecoderConfiguration.heads(
                    queryHeads: queryHeads, keyValueHeads: file.num_key_value_heads ?? queryHeads,
                    headSize: headSize),
                vocabularySize: try required(file.vocab_size, "vocab_size"), contextLength: contextLength,
                normEpsilon: Float(file.rms_norm_eps ?? 1e-6),
                rotary: RotaryEmbedding(
                    dimensions: headSize, base: file.rope_theta ?? file.rope_parameters?.rope_theta ?? 10_000,
                    scaling: try scaling),
                tiesOutput: file.tie_word_embeddings ?? false, hasQueryKeyValueBias: false)
            try configuration.validate()
            return configuration
        }
    }

    private var scaling: RotaryEmbedding.Scaling {
        get throws(CheckpointError) {
            guard let rope = file.rope_scaling ?? file.rope_parameters else { return .none }
            func required(_ value: Double?, _ name: String) throws(CheckpointError) -> Double {
                guard let value, value.isFinite, value > 0 else {
                    throw CheckpointError(.invalidMetadata, "rope_scaling needs a positive \(name)")
                }
                return value
            }
            let type = rope.rope_type ?? rope.type ?? "default"
            switch type {
            case "default": return .none
            case "linear": return .linear(factor: try required(rope.factor, "factor"))
            case "llama3":
                let original = rope.original_max_position_embeddings.map(Double.init)
                return .llama3(
                    factor: try required(rope.factor, "factor"),
                    lowFrequencyFactor: try required(rope.low_freq_factor, "low_freq_factor"),
                    highFrequencyFactor: try required(rope.high_freq_factor, "high_freq_factor"),
                    originalContextLength: Int(try required(original, "original_max_position_embeddings")))
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
