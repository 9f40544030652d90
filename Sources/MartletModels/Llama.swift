// SPDX-License-Identifier: Apache-2.0

public import MartletCheckpoints

/// The Llama family as GGUF stores it: Llama 2 and 3, Mistral, SmolLM2, TinyLlama.
public enum Llama {
    public static let architecture = "llama"

    /// Maps a file's metadata onto a decoder, and refuses what the decoder would compute wrongly.
    public static func configuration(of file: GGUFFile) throws(CheckpointError) -> DecoderConfiguration {
        let header = file.contents
        func key(_ name: String) -> String { "\(architecture).\(name)" }
        func required(_ name: String) throws(CheckpointError) -> Int {
            try header.required(header.count(key(name)), key(name))
        }
        if let experts = try header.count(key("expert_count")), experts > 0 {
            throw CheckpointError(.unsupportedModel, "mixtures of experts are not supported")
        }
        let contextLength = try required("context_length")
        if let window = try header.count(key("attention.sliding_window")), window > 0, window < contextLength {
            throw CheckpointError(.unsupportedModel, "sliding-window attention (\(window) tokens) is not supported")
        }
        let hiddenSize = try required("embedding_length")
        let queryHeads = try required("attention.head_count")
        guard queryHeads > 0 else { throw CheckpointError(.invalidMetadata, "\(key("attention.head_count")) is 0") }
        let headSize = try header.count(key("attention.key_length")) ?? hiddenSize / queryHeads
        if let valueSize = try header.count(key("attention.value_length")), valueSize != headSize {
            throw CheckpointError(.unsupportedModel, "keys of \(headSize) and values of \(valueSize) elements")
        }
        let heads = try DecoderConfiguration.heads(
            queryHeads: queryHeads, keyValueHeads: try header.count(key("attention.head_count_kv")) ?? queryHeads,
            headSize: headSize)
        let vocabulary = try header.required(header.array("tokenizer.ggml.tokens"), "tokenizer.ggml.tokens").count
        let dimensions = try header.count(key("rope.dimension_count")) ?? headSize
        let configuration = DecoderConfiguration(
            layers: try required("block_count"), hiddenSize: hiddenSize,
            feedForwardSize: try required("feed_forward_length"), heads: heads,
            vocabularySize: try header.count(key("vocab_size")) ?? vocabulary, contextLength: contextLength,
            normEpsilon: Float(
                try header.required(
                    header.float(key("attention.layer_norm_rms_epsilon")), key("attention.layer_norm_rms_epsilon"))),
            rotary: RotaryEmbedding(
                dimensions: dimensions, base: try header.float(key("rope.freq_base")) ?? 10_000,
                scaling: try scaling(of: file, dimensions: dimensions)),
            tiesOutput: header.tensor(named: DecoderWeightName.output) == nil,
            hasQueryKeyValueBias: header.tensor(named: DecoderWeightName.layer(0, "attn_q.bias")) != nil)
        guard configuration.vocabularySize == vocabulary else {
            throw CheckpointError(
                .invalidMetadata,
                "\(key("vocab_size")) is \(configuration.vocabularySize), but \(vocabulary) tokens follow")
        }
        try configuration.validate()
        return configuration
    }

    private static func scaling(
        of file: GGUFFile, dimensions: Int
    ) throws(CheckpointError) -> RotaryEmbedding.Scaling {
        let header = file.contents
        let prefix = "\(architecture).rope.scaling"
        func required(_ name: String) throws(CheckpointError) -> Double {
            let value = try header.required(header.float("\(prefix).\(name)"), "\(prefix).\(name)")
            guard value.isFinite, value > 0 else {
                throw CheckpointError(.invalidMetadata, "\(prefix).\(name) is \(value); it must be positive")
            }
            return value
        }
        // Before scaling types there was a key of its own for the linear factor.
        let legacy = "\(architecture).rope.scale_linear"
        let legacyFactor = try header.float(legacy)
        let type = try header.name("\(prefix).type") ?? (legacyFactor == nil ? "none" : "linear")
        if let tensor = header.tensor(named: ropeFactors) {
            guard type == "none" || type == "llama3" else {
                throw CheckpointError(.unsupportedModel, "rope scaling \(type) beside \(ropeFactors) is not supported")
            }
            guard tensor.dimensions == [dimensions / 2], tensor.elementType == .float32 else {
                throw CheckpointError(
                    .wrongTensorShape,
                    "\(ropeFactors) must hold \(dimensions / 2) F32 values, not "
                        + "\(tensor.dimensions) \(tensor.elementType.rawValue)", offset: tensor.range.lowerBound)
            }
            return .factors(file.hostTensor(tensor).dequantized().map(Double.init))
        }
        switch type {
        case "none": return .none
        case "linear":
            if let factor = legacyFactor, factor.isFinite, factor > 0 { return .linear(factor: factor) }
            return .linear(factor: try required("factor"))
        case "llama3":
            let original = "\(prefix).original_context_length"
            return .llama3(
                factor: try required("factor"), lowFrequencyFactor: try required("low_freq_factor"),
                highFrequencyFactor: try required("high_freq_factor"),
                originalContextLength: try header.required(header.count(original), original))
        default:
            throw CheckpointError(
                .unsupportedModel, "rope scaling \(type) is not supported; none, linear and llama3 are")
        }
    }

    static let ropeFactors = "rope_freqs.weight"
}
