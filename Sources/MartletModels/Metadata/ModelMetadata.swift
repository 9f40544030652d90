// SPDX-License-Identifier: Apache-2.0

package import MartletCheckpoints
import MartletCompute

/// A number or name of a model, as each kind of checkpoint calls it.
package struct MetadataField: Hashable, Sendable {
    /// Keys of a GGUF file, behind `<architecture>.`: the first that is there counts.
    let gguf: [String]
    /// Keys of a `config.json`, those of nested objects behind a dot.
    let config: [String]

    package init(gguf: String..., config: String...) {
        self.gguf = gguf
        self.config = config
    }

    /// What a `config.json` says of rotations: since transformers 5 with the kind of attention, or for all kinds, before
    /// that among the scaling's.
    package init(gguf: String..., rope name: String, also others: String...) {
        self.gguf = gguf
        config =
            ["rope_parameters.full_attention.\(name)", "rope_parameters.\(name)", "rope_scaling.\(name)"] + others
    }
}

/// The tensors of a checkpoint.
package protocol TensorListing {
    func tensor(named name: String) -> StoredTensor?
    var tensors: [StoredTensor] { get }
    /// Names of those that can't be read, by their types.
    var unsupportedTensors: [String: [String]] { get }
}

/// What a checkpoint says about its model. Absent is nil; the wrong type, or a value out of range, is an error that names
/// the key.
package protocol ModelMetadata {
    /// GGUF's `general.architecture`, `model_type` of a `config.json`.
    var architecture: String { get throws(CheckpointError) }
    /// Whether weights are named, laid out and permuted as in GGUF files; otherwise as on the hub.
    var isGGUF: Bool { get }
    var vocabularySize: Int { get throws(CheckpointError) }

    /// An integer that is not negative; of a list that holds one for each layer the `layer`th.
    func count(_ field: MetadataField, layer: Int?) throws(CheckpointError) -> Int?
    /// Of a list that holds one for each layer the `layer`th.
    func number(_ field: MetadataField, layer: Int?) throws(CheckpointError) -> Double?
    /// Of a list that holds one for each layer the `layer`th.
    func flag(_ field: MetadataField, layer: Int?) throws(CheckpointError) -> Bool?
    func text(_ field: MetadataField) throws(CheckpointError) -> String?

    /// The checkpoint's tensors by the names that programs know them by; nil where it is a configuration alone.
    var tensors: (any TensorListing)? { get }
    /// The numbers of a small vector in f32; nil where there is none.
    func vector(_ name: String, length: Int) throws(CheckpointError) -> [Double]?
    /// Whether it says how its weights were quantised, beyond their element types.
    var isQuantizedOtherwise: Bool { get }
    /// How the checkpoint spells a field's key.
    func key(_ field: MetadataField) -> String
}

extension ModelMetadata {
    package func count(_ field: MetadataField) throws(CheckpointError) -> Int? { try count(field, layer: nil) }
    package func number(_ field: MetadataField) throws(CheckpointError) -> Double? { try number(field, layer: nil) }
    package func flag(_ field: MetadataField) throws(CheckpointError) -> Bool? { try flag(field, layer: nil) }

    /// Whether the checkpoint holds a tensor; nil where it lists none.
    package func holdsTensor(_ name: String) -> Bool? { tensors.map { $0.tensor(named: name) != nil } }

    /// A tensor's dimensions, the fastest first; nil where there is none.
    package func dimensions(of tensor: String) -> [Int]? { tensors?.tensor(named: tensor)?.dimensions }

    /// A number that isn't what files write where they mean none.
    package func factor(_ field: MetadataField) throws(CheckpointError) -> Float? {
        guard let number = try number(field), number != 0 else { return nil }
        return Float(number)
    }

    /// Whether the checkpoint lists its tensors and one has that name in a layer.
    package func holds(_ name: String, layer: Int) -> Bool { holdsTensor(WeightName.layer(layer, name)) == true }

    /// What a model can't do without.
    package func required<Value>(_ value: Value?, _ field: MetadataField) throws(CheckpointError) -> Value {
        guard let value else { throw CheckpointError(.missingMetadata, "the file lacks \(key(field))") }
        return value
    }

    /// A count that is there and isn't 0.
    package func positive(_ field: MetadataField, layer: Int? = nil) throws(CheckpointError) -> Int {
        let value = try required(count(field, layer: layer), field)
        guard value > 0 else { throw CheckpointError(.invalidMetadata, "\(key(field)) is \(value)") }
        return value
    }
}

extension MetadataField {
    package static let layers = MetadataField(
        gguf: "block_count", config: "num_hidden_layers", "n_layer", "n_layers")
    package static let hiddenSize = MetadataField(
        gguf: "embedding_length", config: "hidden_size", "n_embd", "d_model")
    package static let feedForwardSize = MetadataField(
        gguf: "feed_forward_length", config: "intermediate_size", "n_inner")
    package static let queryHeads = MetadataField(
        gguf: "attention.head_count", config: "num_attention_heads", "n_head", "n_heads")
    package static let keyValueHeads = MetadataField(gguf: "attention.head_count_kv", config: "num_key_value_heads")
    /// Of layers that see all tokens, where theirs differ.
    package static let fullKeyValueHeads = MetadataField(config: "num_global_key_value_heads")
    package static let keySize = MetadataField(gguf: "attention.key_length", config: "global_head_dim", "head_dim")
    package static let valueSize = MetadataField(gguf: "attention.value_length")
    /// Of layers with a window, where theirs differ.
    package static let windowKeySize = MetadataField(gguf: "attention.key_length_swa", config: "head_dim")
    package static let windowValueSize = MetadataField(gguf: "attention.value_length_swa")
    /// Layers at the end that attend over the keys and values of an earlier one.
    package static let sharingLayers = MetadataField(
        gguf: "attention.shared_kv_layers", config: "num_kv_shared_layers")
    /// Columns of an embedding of the token that each layer has by itself.
    package static let layerEmbeddingSize = MetadataField(
        gguf: "embedding_length_per_layer_input", config: "hidden_size_per_layer_input")
    package static let contextLength = MetadataField(
        gguf: "context_length", config: "max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "seq_length")
    package static let vocabularySize = MetadataField(gguf: "vocab_size", config: "vocab_size")
    package static let rootMeanSquareEpsilon = MetadataField(
        gguf: "attention.layer_norm_rms_epsilon", config: "rms_norm_eps")
    package static let normEpsilon = MetadataField(
        gguf: "attention.layer_norm_epsilon", config: "layer_norm_eps", "norm_eps", "norm_epsilon",
        "layer_norm_epsilon")
    package static let experts = MetadataField(
        gguf: "expert_count", config: "num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")
    package static let chosenExperts = MetadataField(
        gguf: "expert_used_count", config: "num_experts_per_tok", "moe_k", "top_k_experts")
    package static let expertSize = MetadataField(
        gguf: "expert_feed_forward_length", config: "moe_intermediate_size")
    package static let sharedExperts = MetadataField(
        gguf: "expert_shared_count", config: "n_shared_experts", "moe_num_shared_experts")
    package static let sharedExpertSize = MetadataField(
        gguf: "expert_shared_feed_forward_length", config: "shared_expert_intermediate_size")
    package static let leadingDenseLayers = MetadataField(
        gguf: "leading_dense_block_count", config: "first_k_dense_replace")
    package static let expertLayerStep = MetadataField(gguf: "interleave_moe_layer_step")
    package static let expertGroups = MetadataField(gguf: "expert_group_count", config: "n_group")
    package static let expertScoring = MetadataField(gguf: "expert_gating_func")
    package static let normalizesExperts = MetadataField(gguf: "expert_weights_norm", config: "norm_topk_prob")
    package static let expertScale = MetadataField(gguf: "expert_weights_scale", config: "routed_scaling_factor")
    /// Layers behind the others that guess the tokens after the next.
    package static let predictingLayers = MetadataField(gguf: "nextn_predict_layers")
    package static let window = MetadataField(gguf: "attention.sliding_window", config: "sliding_window")
    /// Which layers have the window: a flag for each, or a number n: all but every nth.
    package static let windowPattern = MetadataField(
        gguf: "attention.sliding_window_pattern", config: "layer_types", "sliding_window_pattern",
        "_sliding_window_pattern")
    package static let rotatedLayers = MetadataField(gguf: "attention.rope_pattern", config: "no_rope_layers")
    package static let usesWindow = MetadataField(config: "use_sliding_window")
    /// What weights are stored as; the first is what newer files say.
    package static let elementType = MetadataField(config: "dtype", "torch_dtype")
    package static let tiesOutput = MetadataField(config: "tie_word_embeddings")
    package static let attentionBias = MetadataField(config: "attention_bias")
    package static let feedForwardBias = MetadataField(config: "mlp_bias")
    package static let activation = MetadataField(config: "hidden_activation", "hidden_act", "activation_function")
    package static let ropeDimensions = MetadataField(gguf: "rope.dimension_count", config: "rotary_dim")
    package static let windowRopeDimensions = MetadataField(gguf: "rope.dimension_count_swa")
    package static let partialRotaryFactor = MetadataField(
        rope: "partial_rotary_factor", also: "partial_rotary_factor", "rotary_pct")
    package static let ropeBase = MetadataField(gguf: "rope.freq_base", rope: "rope_theta", also: "rope_theta")
    package static let windowRopeBase = MetadataField(
        gguf: "rope.freq_base_swa", config: "rope_parameters.sliding_attention.rope_theta", "rope_local_base_freq")
    package static let windowPartialRotaryFactor = MetadataField(
        config: "rope_parameters.sliding_attention.partial_rotary_factor")
    package static let windowRopeScaling = MetadataField(config: "rope_parameters.sliding_attention.rope_type")
    /// A base for each layer; 0: its heads aren't rotated.
    package static let layerRopeBase = MetadataField(config: "layer_rope_theta")
    /// Whether the model was trained with rotations at all.
    package static let isRotated = MetadataField(gguf: "rope.scaling.finetuned")
    package static let ropeScaling = MetadataField(
        gguf: "rope.scaling.type", rope: "rope_type", also: "rope_scaling.type", "rope_parameters.type")
    package static let ropeFactor = MetadataField(
        gguf: "rope.scaling.factor", rope: "factor")
    /// The linear factor's key before there were scaling types.
    package static let legacyRopeFactor = MetadataField(gguf: "rope.scale_linear")
    package static let ropeLowFrequencyFactor = MetadataField(
        gguf: "rope.scaling.low_freq_factor", rope: "low_freq_factor")
    package static let ropeHighFrequencyFactor = MetadataField(
        gguf: "rope.scaling.high_freq_factor", rope: "high_freq_factor")
    package static let ropeOriginalContextLength = MetadataField(
        gguf: "rope.scaling.original_context_length", rope: "original_max_position_embeddings",
        also: "original_max_position_embeddings")

    package static let ropeMagnitude = MetadataField(
        gguf: "rope.scaling.yarn_attn_factor", "rope.scaling.attn_factor", rope: "attention_factor")
    package static let yarnFastRotations = MetadataField(
        gguf: "rope.scaling.yarn_beta_fast", rope: "beta_fast")
    package static let yarnSlowRotations = MetadataField(
        gguf: "rope.scaling.yarn_beta_slow", rope: "beta_slow")
    package static let yarnLogMultiplier = MetadataField(gguf: "rope.scaling.yarn_log_multiplier")
    /// Two multipliers whose quotient is YaRN's magnitude.
    package static let yarnMagnitude = MetadataField(rope: "mscale")
    package static let yarnMagnitudeOfAll = MetadataField(rope: "mscale_all_dim")
    package static let truncatesYaRN = MetadataField(rope: "truncate")
    package static let logitScale = MetadataField(gguf: "logit_scale", config: "logits_scaling", "logit_scale")
    package static let embeddingScale = MetadataField(gguf: "embedding_scale", config: "embedding_multiplier")
    package static let residualScale = MetadataField(gguf: "residual_scale", config: "residual_multiplier")
    package static let attentionScale = MetadataField(gguf: "attention.scale", config: "attention_multiplier")
    package static let clamp = MetadataField(
        gguf: "attention.clamp_kqv", config: "clip_qkv", "attn_config.clip_qkv")
    package static let alibiBias = MetadataField(
        gguf: "attention.max_alibi_bias", config: "attn_config.alibi_bias_max")
    package static let scoreCap = MetadataField(gguf: "attn_logit_softcapping", config: "attn_logit_softcapping")
    package static let logitCap = MetadataField(gguf: "final_logit_softcapping", config: "final_logit_softcapping")
    package static let queryTemperature = MetadataField(
        gguf: "attention.temperature_scale", rope: "llama_4_scaling_beta")
    /// Gemma's: scores are divided by its root.
    package static let scoreDivisor = MetadataField(config: "query_pre_attn_scalar")
    package static let isParallel = MetadataField(gguf: "use_parallel_residual", config: "use_parallel_residual")

    /// Numbers that some families read, each with the values that change nothing. In the metadata of a family that doesn't
    /// read one, any other value is refused.
    static let optionalNumbers: [(field: MetadataField, neutral: Set<Double>)] = [
        (logitScale, [0, 1]), (embeddingScale, [0, 1]), (residualScale, [0, 1]), (attentionScale, [0]), (clamp, [0]),
        (alibiBias, [0]), (scoreCap, [0]), (logitCap, [0]), (queryTemperature, [0]),
    ]

    /// Counts that no family here reads, each with the values that change nothing.
    static let unreadCounts: [(field: MetadataField, neutral: Set<Int>)] = [
        (expertLayerStep, [0, 1]), (expertGroups, [0, 1]), (predictingLayers, [0]), (sharingLayers, [0]),
        (layerEmbeddingSize, [0]),
    ]

    static let seesLaterTokens = MetadataField(config: "use_bidirectional_attention")

    /// How a model's last rows become one embedding; 0 for models that draw tokens.
    static let pooling = MetadataField(gguf: "pooling_type")

    /// Flags that some families read, each with the value that changes nothing.
    static let optionalFlags: [(field: MetadataField, neutral: Bool)] = [
        (MetadataField(gguf: "attention.causal", config: "is_causal"), true), (isParallel, false), (isRotated, true),
        // What no family here computes.
        (MetadataField(config: "apply_residual_connection_post_layernorm"), false),
        (MetadataField(config: "scale_attn_by_inverse_layer_idx"), false),
        (MetadataField(config: "scale_attn_weights"), true), (MetadataField(config: "attn_config.qk_ln"), false),
        (MetadataField(config: "attn_config.prefix_lm"), false),
    ]
}
