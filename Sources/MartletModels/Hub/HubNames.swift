// SPDX-License-Identifier: Apache-2.0

/// What the hub's checkpoints of a family call the tensors that programs read, and how they lay them out.
///
/// Stored names lose `model.`, `language_model.` and `transformer.` in front, and `.weight` or `.bias` behind, before they
/// are looked up; a number in them is written `*`. Targets that aren't followed by `.weight` or `.bias` get the stored name's.
package struct HubNames {
    /// What a stored tensor becomes.
    package struct Target: ExpressibleByStringLiteral, Sendable {
        let name: String
        var rows = RowSelection.all
        /// Whether rows and columns of each matrix change places.
        var isTransposed = false

        package init(stringLiteral value: String) { name = value }

        package init(_ name: String, rows: RowSelection = .all, isTransposed: Bool = false) {
            self.name = name
            self.rows = rows
            self.isTransposed = isTransposed
        }
    }

    /// What the list of layers is called.
    package var layers = "layers"
    /// Outside of layers.
    package var outer: [String: [Target]] = [
        "embed_tokens": ["token_embd"], "norm": ["output_norm"], "lm_head": ["output"],
    ]
    /// Within a layer.
    package var inner: [String: [Target]]
    /// What is added to the weights of norms.
    package var normOffset: Float = 0

    /// As most families have them: those of Llama, of its mixtures of experts, and of norms of heads.
    package init() {
        inner = [
            "input_layernorm": ["attn_norm"], "post_attention_layernorm": ["ffn_norm"],
            "self_attn.q_proj": ["attn_q"], "self_attn.k_proj": ["attn_k"], "self_attn.v_proj": ["attn_v"],
            "self_attn.qkv_proj": ["attn_qkv"], "self_attn.o_proj": ["attn_output"],
            "self_attn.q_norm": ["attn_q_norm"], "self_attn.k_norm": ["attn_k_norm"],
            "self_attn.sinks": ["attn_sinks.weight"],
            "mlp.gate_proj": ["ffn_gate"], "mlp.up_proj": ["ffn_up"], "mlp.gate_up_proj": ["ffn_up"],
            "mlp.down_proj": ["ffn_down"],
            "mlp.gate": ["ffn_gate_inp"], "mlp.gate.e_score_correction_bias": ["exp_probs_b.bias"],
            "mlp.experts.*.gate_proj": ["ffn_gate_exps"], "mlp.experts.*.up_proj": ["ffn_up_exps"],
            "mlp.experts.*.down_proj": ["ffn_down_exps"],
            "mlp.experts.gate_up_proj": [
                Target("ffn_gate_exps.weight", rows: .part(0, of: 2)),
                Target("ffn_up_exps.weight", rows: .part(1, of: 2)),
            ],
            "mlp.experts.down_proj": ["ffn_down_exps.weight"],
        ]
        for name in ["mlp.shared_expert", "mlp.shared_experts"] {
            inner["\(name).gate_proj"] = ["ffn_gate_shexp"]
            inner["\(name).up_proj"] = ["ffn_up_shexp"]
            inner["\(name).down_proj"] = ["ffn_down_shexp"]
        }
        inner["mlp.shared_expert_gate"] = ["ffn_gate_inp_shexp"]
        inner["block_sparse_moe.gate"] = ["ffn_gate_inp"]
        inner["block_sparse_moe.e_score_correction_bias"] = ["exp_probs_b.bias"]
        inner["block_sparse_moe.experts.*.w1"] = ["ffn_gate_exps"]
        inner["block_sparse_moe.experts.*.w3"] = ["ffn_up_exps"]
        inner["block_sparse_moe.experts.*.w2"] = ["ffn_down_exps"]
    }

    /// With norms behind attention and feed-forward, which name what they stand behind.
    package static var behind: HubNames {
        var names = HubNames()
        names.inner["post_attention_layernorm"] = ["post_attention_norm"]
        names.inner["post_feedforward_layernorm"] = ["post_ffw_norm"]
        return names
    }

    /// Where GGUF names the norm before feed-forward after what it follows.
    package static var beforeBoth: HubNames {
        var names = HubNames()
        names.inner["post_attention_layernorm"] = ["post_attention_norm"]
        return names
    }

    /// What a stored tensor becomes; nil where its name isn't known.
    func find(_ stored: String) -> Match? {
        var fields = stored.split(separator: ".", omittingEmptySubsequences: false)[...]
        while let first = fields.first, fields.count > 1, Self.wrappers.contains(first) { fields.removeFirst() }
        let suffix = fields.last.map { $0 == "weight" || $0 == "bias" ? ".\($0)" : "" } ?? ""
        if !suffix.isEmpty { fields.removeLast() }
        var numbers: [Int] = []
        let isLayer = fields.count > 2 && fields.first.map(String.init) == layers
        if isLayer {
            guard let layer = Self.number(fields[fields.startIndex + 1]) else { return nil }
            numbers.append(layer)
            fields = fields.dropFirst(2)
        }
        let pattern = fields.map { field -> Substring in
            guard let number = Self.number(field) else { return field }
            numbers.append(number)
            return "*"
        }.joined(separator: ".")
        guard let targets = isLayer ? inner[pattern] : outer[pattern] else { return nil }
        return Match(
            targets: targets, suffix: suffix, layer: isLayer ? numbers.first : nil,
            index: numbers.count > (isLayer ? 1 : 0) ? numbers.last : nil)
    }

    /// What stands in front of a language model's own names.
    private static let wrappers: Set<Substring> = ["model", "language_model", "transformer"]

    private static func number(_ field: Substring) -> Int? {
        field.utf8.allSatisfy { (0x30...0x39).contains($0) } ? Int(field) : nil
    }

    struct Match {
        let targets: [Target]
        let suffix: String
        let layer: Int?
        /// Its place among those that make one tensor together, such as an expert's.
        let index: Int?

        func name(of target: Target) -> String {
            let hasSuffix = target.name.hasSuffix(".weight") || target.name.hasSuffix(".bias")
            let name = hasSuffix ? target.name : target.name + suffix
            return layer.map { WeightName.layer($0, name) } ?? name
        }
    }

    /// Whether a stored tensor belongs to what no program computes: images and sound, or numbers that a model works out.
    static func isLeftOut(_ stored: String) -> Bool {
        let fields = stored.split(separator: ".")
        let leftOut: Set<Substring> = [
            "vision_tower", "vision_model", "visual", "multi_modal_projector", "embed_vision", "audio_tower",
            "embed_audio", "mm_projector", "patch_merger",
        ]
        if fields.prefix(3).contains(where: leftOut.contains) { return true }
        // GPT-2's masks: `h.0.attn.bias`.
        let isMask = fields.last == "bias" || fields.last == "masked_bias"
        if isMask, fields.suffix(4).first == "h", fields.dropLast().last == "attn" { return true }
        return stored.hasSuffix(".rotary_emb.inv_freq")
    }
}

/// Which rows of a stored matrix a tensor has, in its order.
package enum RowSelection: Hashable, Sendable {
    case all
    /// The `n`th of equal parts.
    case part(Int, of: Int)
    /// Every `step`th row from one on.
    case every(Int, from: Int)
    /// All, where a head's parts lie together and are wanted part by part.
    case byPart(Int, heads: Int)

    /// Rows that are left of `stored`; nil where they don't divide.
    func count(of stored: Int) -> Int? {
        switch self {
        case .all: stored
        case .part(_, let parts): stored % parts == 0 ? stored / parts : nil
        case .every(let step, _): stored % step == 0 ? stored / step : nil
        case .byPart(let parts, let heads):
            heads > 0 && stored % heads == 0 && stored / heads % parts == 0 ? stored : nil
        }
    }

    /// The stored row that a row is.
    func storedRow(_ row: Int, of stored: Int) -> Int {
        switch self {
        case .all: return row
        case .part(let number, let parts): return row + number * (stored / parts)
        case .every(let step, let first): return row * step + first
        case .byPart(let parts, let heads):
            let size = stored / (parts * heads)
            let (part, rest) = row.quotientAndRemainder(dividingBy: heads * size)
            return (rest / size * parts + part) * size + rest % size
        }
    }
}
