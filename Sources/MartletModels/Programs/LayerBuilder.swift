// SPDX-License-Identifier: Apache-2.0

package import MartletCompute

/// Emits the kernels of a decoder, layer after layer. A family calls its functions in the order of its wiring; what
/// varies by number comes from the shape.
///
/// Layers follow each other, so each tensor's name stands for every layer's; where layers differ in their sizes the size is
/// part of the name. Within a layer a tensor is named after what makes it, so that branches may be wired side by side.
package struct LayerBuilder {
    package let shape: ModelShape
    /// The rotations of all layers, each once.
    private let rotations: [RotaryEmbedding]
    /// Whether all layers' activations have as many columns.
    private let layersAreAlike: Bool
    private let cache: CacheLayout
    /// The layer that is built.
    package internal(set) var index = 0
    private(set) var kernels: [Kernel] = []

    init(_ shape: ModelShape) {
        self.shape = shape
        layersAreAlike = shape.layersAreAlike
        cache = CacheLayout(of: shape)
        var seen: [RotaryEmbedding] = []
        for layer in shape.layers {
            if let rotary = layer.attention.rotary, !seen.contains(rotary) { seen.append(rotary) }
        }
        rotations = seen
    }

    var layer: LayerShape { shape.layers[index] }

    /// The residual stream.
    package var hidden: Tensor { tensor("hidden", shape.hiddenSize, .exact) }

    private func tensor(_ name: String, _ columns: Int, _ precision: Tensor.Precision = .working) -> Tensor {
        Tensor(name, rows: .tokens, columns: columns, precision: precision)
    }

    /// A tensor of a size that may be a layer's own.
    private func sizedTensor(_ name: String, _ columns: Int) -> Tensor {
        tensor(layersAreAlike ? name : "\(name).\(columns)", columns)
    }

    private func matrix(_ name: String, count: Int = 1, _ rows: Int, _ columns: Int) -> Weight {
        Weight(WeightName.layer(index, "\(name).weight"), count: count, rows: rows, columns: columns)
    }

    private func vector(_ name: String, _ columns: Int) -> Weight {
        Weight(WeightName.layer(index, name), columns: columns)
    }

    private func biases(_ kind: LayerShape.Biases, _ weights: [(name: String, rows: Int)]) -> [Weight] {
        layer.biases.contains(kind) ? weights.map { vector("\($0.name).bias", $0.rows) } : []
    }

    // MARK: Before and after the layers

    private var embedding: Weight {
        Weight(WeightName.embedding, rows: shape.vocabularySize, columns: shape.hiddenSize)
    }

    private func angles(of rotary: RotaryEmbedding) -> Tensor {
        let number = rotations.firstIndex(of: rotary) ?? 0
        return tensor(number == 0 ? "angles" : "angles\(number)", rotary.dimensions, .exact)
    }

    /// Token embeddings, and the angles of all layers.
    mutating func embed() {
        var embed = EmbedKernel(table: embedding, output: hidden)
        embed.scale = shape.embeddingScale
        kernels.append(.embed(embed))
        if shape.hasPositionTable {
            let table = Weight(WeightName.positions, rows: shape.contextLength, columns: shape.hiddenSize)
            var positions = EmbedKernel(table: table, output: hidden)
            (positions.index, positions.accumulates) = (.position, true)
            kernels.append(.embed(positions))
        }
        if let norm = shape.embeddingNorm {
            _ = self.norm(hidden, name: "token_embd_norm", norm, output: hidden)
        }
        for rotary in rotations {
            kernels.append(
                .rotaryAngles(
                    inverseFrequencies: rotary.inverseFrequencies, magnitude: rotary.magnitude,
                    output: angles(of: rotary)))
        }
    }

    /// Logits, and the tokens drawn from them.
    mutating func output() {
        let normed = norm(
            hidden, name: WeightName.outputNorm, shape.outputNorm,
            output: tensor(WeightName.outputNorm, shape.hiddenSize))
        let logits = tensor("logits", shape.vocabularySize, .exact)
        let weight =
            shape.tiesOutput
            ? embedding : Weight(WeightName.output, rows: shape.vocabularySize, columns: shape.hiddenSize)
        kernels.append(.linear(LinearKernel(input: normed, weights: [weight], output: logits)))
        if shape.logitScale != 1 || shape.logitSoftcap != nil {
            kernels.append(.scale(logits, factor: shape.logitScale, softcap: shape.logitSoftcap))
        }
        kernels.append(.sample(logits: logits))
    }

    // MARK: Layers

    /// Attention and then feed-forward, with the norms that the shape names.
    package mutating func sequentialLayer() {
        let names = layer.normNames
        let attended = attention(norm(hidden, names.attentionInput))
        add(norm(attended, names.attentionOutput))
        let fed = feedForward(norm(hidden, names.feedForwardInput))
        add(norm(fed, names.feedForwardOutput))
        if layer.outputScale != 1 { kernels.append(.scale(hidden, factor: layer.outputScale)) }
    }

    /// Attention and feed-forward of the same norm of the residual stream.
    package mutating func parallelLayer() {
        let normed = norm(hidden, layer.normNames.attentionInput)
        add(attention(normed))
        add(feedForward(normed))
    }

    // MARK: A layer's parts

    /// A norm with the weight `name`; the input itself where there is no name.
    package mutating func norm(_ input: Tensor, _ name: String?) -> Tensor {
        guard let name else { return input }
        return norm(
            input, name: WeightName.layer(index, name), layer.norm, output: tensor(name, input.columns))
    }

    private mutating func norm(_ input: Tensor, name: String, _ shape: NormShape, output: Tensor) -> Tensor {
        var norm = NormKernel(
            input: input, weight: Weight("\(name).weight", columns: input.columns), epsilon: shape.epsilon,
            output: output)
        norm.kind = shape.kind
        if shape.hasBias { norm.bias = Weight("\(name).bias", columns: input.columns) }
        kernels.append(.norm(norm))
        return norm.output
    }

    /// Adds a branch to the residual stream: the kernel that made it adds its result itself where it was the last.
    package mutating func add(_ branch: Tensor) {
        if shape.residualScale != 1 {
            var add = AddKernel(input: branch, output: hidden)
            add.scale = shape.residualScale
            kernels.append(.add(add))
        } else if let last = kernels.last, last.output == branch, let adding = last.accumulating(into: hidden) {
            kernels[kernels.count - 1] = adding
        } else {
            kernels.append(.add(AddKernel(input: branch, output: hidden)))
        }
    }

    /// Projections to heads, attention, and the projection of its output.
    package mutating func attention(_ input: Tensor) -> Tensor {
        let attention = layer.attention
        let heads = attention.heads
        let (queryColumns, keyColumns) = (heads.outputColumns, heads.keyValueHeads * heads.headSize)
        let queryKeyValue = sizedTensor("queryKeyValue", heads.queryKeyValueColumns)
        let projections =
            layer.fused.contains(.queryKeyValue)
            ? [("attn_qkv", queryKeyValue.columns)]
            : [
                ("attn_q", queryColumns), ("attn_k", keyColumns),
                (attention.valuesAreKeys ? "attn_k" : "attn_v", keyColumns),
            ]
        kernels.append(
            .linear(
                LinearKernel(
                    input: input, weights: projections.map { matrix($0, $1, input.columns) },
                    biases: biases(.queryKeyValue, projections), output: queryKeyValue)))
        kernels.append(.prepareHeads(preparation(attention, queryKeyValue)))
        let attended = sizedTensor("attended", heads.outputColumns)
        kernels.append(
            .attention(
                AttentionKernel(
                    queryKeyValue: queryKeyValue, output: attended, parameters: parameters(attention),
                    cacheLayer: cache.homes[index].layer, cacheGroup: cache.homes[index].group)))
        return linear(attended, "attn_output", shape.hiddenSize, .attentionOutput)
    }

    private func preparation(_ attention: AttentionShape, _ queryKeyValue: Tensor) -> HeadPreparation {
        var preparation = HeadPreparation(
            queryKeyValue: queryKeyValue, heads: attention.heads,
            rotation: attention.rotary.map { HeadRotation(angles: angles(of: $0), pairing: attention.pairing) },
            cacheLayer: cache.homes[index].layer, cacheGroup: cache.homes[index].group)
        func norm(_ name: String, heads: Int) -> HeadNorm? {
            attention.headNorm.map { shape in
                let size = attention.heads.headSize
                let weight =
                    attention.headNormIsPerHead
                    ? Weight(WeightName.layer(index, "\(name).weight"), rows: heads, columns: size)
                    : vector("\(name).weight", attention.headNormExtent == .head ? size : heads * size)
                var norm = HeadNorm(weight: weight, epsilon: shape.epsilon)
                norm.kind = shape.kind
                norm.extent = attention.headNormExtent
                return norm
            }
        }
        preparation.clamp = attention.clamp
        preparation.valueNorm = attention.valueNorm.map { shape in
            var norm = HeadNorm(weight: nil, epsilon: shape.epsilon)
            norm.kind = shape.kind
            return norm
        }
        preparation.queryNorm = norm("attn_q_norm", heads: attention.heads.queryHeads)
        preparation.keyNorm = norm("attn_k_norm", heads: attention.heads.keyValueHeads)
        preparation.queryTemperature = attention.queryTemperature
        return preparation
    }

    private func parameters(_ attention: AttentionShape) -> AttentionParameters {
        var parameters = AttentionParameters(heads: attention.heads, scale: attention.scale)
        parameters.softcap = attention.softcap
        parameters.visibility = attention.visibility
        parameters.alibi = attention.alibi
        if attention.hasSinks { parameters.sinks = vector("attn_sinks.weight", attention.heads.queryHeads) }
        return parameters
    }

    private mutating func linear(
        _ input: Tensor, _ name: String, _ rows: Int, _ biasKind: LayerShape.Biases
    ) -> Tensor {
        let output = sizedTensor(name, rows)
        kernels.append(
            .linear(
                LinearKernel(
                    input: input, weights: [matrix(name, rows, input.columns)],
                    biases: biases(biasKind, [(name, rows)]), output: output)))
        return output
    }

    /// Feed-forward of the layer's kind.
    package mutating func feedForward(_ input: Tensor) -> Tensor {
        switch layer.feedForward {
        case .gated(let size, let gate):
            let (gateUp, activated) = (sizedTensor("gateUp", 2 * size), sizedTensor("activated", size))
            let projections =
                layer.fused.contains(.gateUp) ? [("ffn_up", 2 * size)] : [("ffn_gate", size), ("ffn_up", size)]
            kernels.append(
                .linear(
                    LinearKernel(
                        input: input, weights: projections.map { matrix($0, $1, input.columns) },
                        biases: biases(.feedForward, projections), output: gateUp)))
            kernels.append(.gatedActivation(input: gateUp, output: activated, gate: gate))
            return linear(activated, "ffn_down", shape.hiddenSize, .feedForward)
        case .plain(let size, let activation):
            let up = linear(input, "ffn_up", size, .feedForward)
            let activated = sizedTensor("activated", size)
            kernels.append(.activation(input: up, output: activated, activation: activation))
            return linear(activated, "ffn_down", shape.hiddenSize, .feedForward)
        case .experts(let experts): return self.experts(input, experts)
        }
    }

    private mutating func experts(_ input: Tensor, _ shape: ExpertsShape) -> Tensor {
        let (count, columns) = (shape.count, input.columns)
        var route = RouteKernel(
            input: input, weight: matrix("ffn_gate_inp", count, columns),
            output: tensor("routing", 2 * shape.chosen, .exact))
        route.bias = biases(.experts, [("ffn_gate_inp", count)]).first
        if shape.hasChoiceBias { route.choiceBias = vector("exp_probs_b.bias", count) }
        route.scoring = shape.scoring
        route.normalizes = shape.normalizes
        route.scale = shape.scale
        kernels.append(.route(route))
        var experts = ExpertsKernel(
            input: input, routing: route.output, gateWeight: matrix("ffn_gate_exps", count: count, shape.size, columns),
            upWeight: matrix("ffn_up_exps", count: count, shape.size, columns),
            downWeight: matrix("ffn_down_exps", count: count, columns, shape.size), gate: shape.gate,
            output: tensor("ffn_down_exps", columns))
        if layer.biases.contains(.experts) {
            func bias(_ name: String, _ columns: Int) -> Weight {
                Weight(WeightName.layer(index, "\(name).bias"), rows: count, columns: columns)
            }
            experts.gateBias = bias("ffn_gate_exps", shape.size)
            experts.upBias = bias("ffn_up_exps", shape.size)
            experts.downBias = bias("ffn_down_exps", columns)
        }
        kernels.append(.experts(experts))
        if let shared = shape.shared { addShared(shared, gate: shape.gate, of: input, to: experts.output) }
        return experts.output
    }

    /// Adds what the expert makes that every token is sent to.
    private mutating func addShared(
        _ shared: ExpertsShape.SharedExpert, gate: Gate, of input: Tensor, to output: Tensor
    ) {
        let (gateUp, activated) = (tensor("sharedGateUp", 2 * shared.size), tensor("sharedActivated", shared.size))
        let projections = ["ffn_gate_shexp", "ffn_up_shexp"].map { matrix($0, shared.size, input.columns) }
        kernels.append(.linear(LinearKernel(input: input, weights: projections, output: gateUp)))
        kernels.append(.gatedActivation(input: gateUp, output: activated, gate: gate))
        let down = tensor("ffn_down_shexp", output.columns)
        kernels.append(
            .linear(
                LinearKernel(
                    input: activated, weights: [matrix("ffn_down_shexp", output.columns, shared.size)], output: down)))
        var add = AddKernel(input: down, output: output)
        if shared.isGated {
            let weight = matrix("ffn_gate_inp_shexp", 1, input.columns)
            let logit = tensor("sharedGate", 1, .exact)
            kernels.append(.linear(LinearKernel(input: input, weights: [weight], output: logit)))
            add.gate = logit
        }
        kernels.append(.add(add))
    }
}

extension Kernel {
    /// The same kernel adding to another tensor; nil for a kind that can't.
    fileprivate func accumulating(into output: Tensor) -> Kernel? {
        switch self {
        case .linear(let linear) where !linear.accumulates:
            return .linear(
                LinearKernel(
                    input: linear.input, weights: linear.weights, biases: linear.biases, output: output,
                    accumulates: true))
        case .norm(var norm) where !norm.accumulates:
            (norm.output, norm.accumulates) = (output, true)
            return .norm(norm)
        case .experts(var experts) where !experts.accumulates:
            (experts.output, experts.accumulates) = (output, true)
            return .experts(experts)
        default: return nil
        }
    }
}
