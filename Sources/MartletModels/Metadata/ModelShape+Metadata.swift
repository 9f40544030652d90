// SPDX-License-Identifier: Apache-2.0

package import MartletCheckpoints
import MartletCompute

extension ModelShape {
    /// What most families say alike. Biases, norms of heads, sinks and fused matrices are there where the checkpoint holds
    /// their tensors.
    ///
    /// - Parameters:
    ///   - traits: what the metadata doesn't say.
    ///   - longest: tokens of the longest sequence that will be computed; nil for the model's own context.
    package init(
        reading metadata: any ModelMetadata, _ traits: FamilyTraits = FamilyTraits(), longest: Int? = nil
    ) throws(CheckpointError) {
        let contextLength = try metadata.positive(.contextLength)
        try Self.refuseUnread(metadata, traits, contextLength: contextLength)
        let hiddenSize = try metadata.positive(.hiddenSize)
        let layerCount = try metadata.positive(.layers)
        try Self.check(layerCount, Self.layerCounts, "the number of layers")
        var layers: [LayerShape] = []
        for index in 0..<layerCount {
            layers.append(
                try LayerShape(
                    reading: metadata, traits, hiddenSize: hiddenSize, longest: longest ?? contextLength, index))
        }
        func norm(_ name: String) throws(CheckpointError) -> NormShape {
            var norm = try NormShape(reading: metadata, traits.norm)
            norm.hasBias = metadata.holdsTensor("\(name).bias") == true
            return norm
        }
        let saysTied = try metadata.flag(.tiesOutput) ?? false
        self.init(
            hiddenSize: hiddenSize, vocabularySize: try metadata.vocabularySize, contextLength: contextLength,
            layers: layers, outputNorm: try norm(WeightName.outputNorm),
            tiesOutput: metadata.holdsTensor(WeightName.output).map { !$0 } ?? saysTied)
        hasPositionTable = metadata.holdsTensor(WeightName.positions) == true
        if metadata.holdsTensor("token_embd_norm.weight") == true { embeddingNorm = try norm("token_embd_norm") }
        if traits.reads.contains(.embeddingScale) { embeddingScale = try metadata.factor(.embeddingScale) ?? 1 }
        if traits.reads.contains(.residualScale) { residualScale = try metadata.factor(.residualScale) ?? 1 }
        if traits.reads.contains(.logitCap) { logitSoftcap = try metadata.factor(.logitCap) }
    }

    /// Says which of its metadata would be passed over.
    private static func refuseUnread(
        _ metadata: any ModelMetadata, _ traits: FamilyTraits, contextLength: Int
    ) throws(CheckpointError) {
        let usesWindow = try metadata.flag(.usesWindow) ?? true
        if traits.windowPattern == nil, let window = try metadata.count(.window), window > 0, window < contextLength,
            usesWindow
        {
            throw CheckpointError(
                .unsupportedModel, "sliding-window attention (\(window) tokens) is not supported in this family")
        }
        if metadata.isQuantizedOtherwise {
            throw CheckpointError(.unsupportedModel, "weights with a quantization_config are not supported")
        }
        if let activation = try metadata.text(.activation), !traits.feedForward.hubNames.contains(activation) {
            throw CheckpointError(.unsupportedModel, "the activation \(activation.debugDescription) is not supported")
        }
        // Some say of which kinds of input alone, in words.
        let seesLaterTokens = (try? metadata.flag(.seesLaterTokens)) ?? false
        if seesLaterTokens {
            throw CheckpointError(
                .unsupportedModel, "attention to later tokens (\(metadata.key(.seesLaterTokens))) is not supported")
        }
        if let pooling = try metadata.count(.pooling), pooling > 0 {
            throw CheckpointError(
                .unsupportedModel,
                "models that make embeddings (\(metadata.key(.pooling)) is \(pooling)) are not supported")
        }
        func refuse(_ field: MetadataField, _ value: some Equatable, isNeutral: Bool) throws(CheckpointError) {
            guard !isNeutral, !traits.reads.contains(field) else { return }
            throw CheckpointError(.unsupportedModel, "\(metadata.key(field)) is \(value), which is not supported")
        }
        for (field, neutral) in MetadataField.optionalNumbers {
            if let value = try metadata.number(field) { try refuse(field, value, isNeutral: neutral.contains(value)) }
        }
        for (field, neutral) in MetadataField.unreadCounts {
            if let value = try metadata.count(field) { try refuse(field, value, isNeutral: neutral.contains(value)) }
        }
        for (field, neutral) in MetadataField.optionalFlags {
            if let value = try metadata.flag(field) { try refuse(field, value, isNeutral: value == neutral) }
        }
    }
}

extension NormShape {
    fileprivate init(reading metadata: any ModelMetadata, _ kind: NormKind) throws(CheckpointError) {
        let field = kind == .rootMeanSquare ? MetadataField.rootMeanSquareEpsilon : .normEpsilon
        // What a `config.json` without an epsilon means is the default of the hub's own code.
        let epsilon = try metadata.number(field) ?? (metadata.isGGUF ? nil : 1e-6)
        self.init(kind, epsilon: Float(try metadata.required(epsilon, field)))
    }
}

extension LayerShape {
    fileprivate init(
        reading metadata: any ModelMetadata, _ traits: FamilyTraits, hiddenSize: Int, longest: Int, _ index: Int
    ) throws(CheckpointError) {
        func holds(_ name: String) -> Bool { metadata.holds(name, layer: index) }
        var norm = try NormShape(reading: metadata, traits.norm)
        norm.hasBias = [traits.normNames.attentionInput, traits.normNames.feedForwardInput].contains {
            $0.map { holds("\($0).bias") } == true
        }
        let attention = try AttentionShape(
            reading: metadata, traits, hiddenSize: hiddenSize, longest: longest, norm: norm, index)
        let feedForward: FeedForwardShape
        if let experts = try ExpertsShape(reading: metadata, traits, index) {
            feedForward = .experts(experts)
        } else {
            // Some configurations leave it to be four times the width.
            let stored = metadata.dimensions(of: WeightName.layer(index, "ffn_down.weight"))?.first
            var size = stored ?? 0
            let stated = try metadata.count(.feedForwardSize, layer: index)
            if stored == nil || stated != nil || metadata.isGGUF {
                size = try metadata.positive(.feedForwardSize, layer: index)
            }
            switch traits.feedForward {
            case .gated(let gate): feedForward = .gated(size, gate)
            case .plain(let activation): feedForward = .plain(size, activation)
            }
        }
        self.init(attention: attention, feedForward: feedForward, norm: norm)
        normNames = traits.normNames
        if holds("attn_qkv.weight") { fused.insert(.queryKeyValue) }
        if case .gated = feedForward, metadata.tensors != nil, !holds("ffn_gate.weight") { fused.insert(.gateUp) }
        if holds("attn_q.bias") || holds("attn_qkv.bias") { biases.insert(.queryKeyValue) }
        if holds("attn_output.bias") { biases.insert(.attentionOutput) }
        if holds("ffn_down.bias") { biases.insert(.feedForward) }
        if holds("ffn_down_exps.bias") { biases.insert(.experts) }
    }
}

extension AttentionShape {
    fileprivate init(
        reading metadata: any ModelMetadata, _ traits: FamilyTraits, hiddenSize: Int, longest: Int, norm: NormShape,
        _ index: Int
    ) throws(CheckpointError) {
        let isWindowed = try metadata.isWindowed(layer: index, pattern: traits.windowPattern)
        let heads = try AttentionHeads(
            reading: metadata, hiddenSize: hiddenSize, isWindowed: isWindowed, layer: index)
        let flags = [try metadata.flag(.rotatedLayers, layer: index), try metadata.flag(.isRotated)]
        let ownBase = try metadata.number(.layerRopeBase, layer: index)
        let isRotated = (isWindowed || traits.rotatesFullLayers) && !flags.contains(false) && ownBase != 0
        self.init(
            heads: heads,
            rotary: isRotated
                ? try RotaryEmbedding(
                    reading: metadata, traits, headSize: heads.headSize, isWindowed: isWindowed, longest: longest)
                : nil)
        if let ownBase, let shared = rotary {
            rotary = RotaryEmbedding(
                dimensions: shared.dimensions, base: ownBase, scaling: shared.scaling, magnitude: shared.magnitude)
        }
        pairing = traits.pairing
        if isWindowed, let window = try metadata.count(.window), window > 0 { visibility.scope = .window(window) }
        if traits.reads.contains(.attentionScale), let scale = try metadata.factor(.attentionScale) {
            self.scale = scale
        }
        if traits.reads.contains(.scoreCap) { softcap = try metadata.factor(.scoreCap) }
        if traits.reads.contains(.clamp) { clamp = try metadata.factor(.clamp) }
        hasSinks = metadata.holds("attn_sinks.weight", layer: index)
        if let dimensions = metadata.dimensions(of: WeightName.layer(index, "attn_q_norm.weight")) {
            headNorm = NormShape(norm.kind, epsilon: norm.epsilon)
            headNormIsPerHead = dimensions.count == 2
            headNormExtent = dimensions.first == heads.headSize ? .head : .allHeads
        }
    }
}

extension AttentionHeads {
    fileprivate init(
        reading metadata: any ModelMetadata, hiddenSize: Int, isWindowed: Bool, layer: Int
    ) throws(CheckpointError) {
        func size(_ field: MetadataField, inWindows windowField: MetadataField) throws(CheckpointError) -> Int? {
            if isWindowed, let size = try metadata.count(windowField, layer: layer) { return size }
            return try metadata.count(field, layer: layer)
        }
        let queryHeads = try metadata.positive(.queryHeads, layer: layer)
        let headSize = try size(.keySize, inWindows: .windowKeySize) ?? hiddenSize / queryHeads
        if let valueSize = try size(.valueSize, inWindows: .windowValueSize), valueSize != headSize {
            throw CheckpointError(.unsupportedModel, "keys of \(headSize) and values of \(valueSize) elements")
        }
        var keyValueHeads = try metadata.count(.keyValueHeads, layer: layer)
        if !isWindowed, let own = try metadata.count(.fullKeyValueHeads), !metadata.holds("attn_v.weight", layer: layer)
        {
            keyValueHeads = own
        }
        try self.init(
            checking: queryHeads, keyValueHeads: keyValueHeads ?? queryHeads, headSize: headSize)
    }
}

extension ModelMetadata {
    /// Whether a layer sees a window of keys alone.
    ///
    /// - Parameter pattern: as `FamilyTraits.windowPattern`.
    fileprivate func isWindowed(layer: Int, pattern: Int?) throws(CheckpointError) -> Bool {
        guard let pattern, let window = try count(.window), window > 0, try flag(.usesWindow) ?? true else {
            return false
        }
        do throws(CheckpointError) {
            let period = try count(.windowPattern) ?? pattern
            return period == 0 || (layer + 1) % period != 0
        } catch {
            // What is no number holds a flag for each layer.
            guard error.code == .wrongMetadataType, let isWindowed = try flag(.windowPattern, layer: layer) else {
                throw error
            }
            return isWindowed
        }
    }
}

extension FamilyTraits.FeedForward {
    /// What the hub's configurations call the activation.
    fileprivate var hubNames: Set<String> {
        switch self {
        case .gated(.product(let activation)), .plain(let activation): activation.hubNames
        case .gated(.clampedSwiGLU): ["silu", "swish"]
        }
    }
}

extension Activation {
    fileprivate var hubNames: Set<String> {
        switch self {
        case .silu: ["silu", "swish"]
        case .gelu: ["gelu"]
        // Gemma's first configurations say gelu, and mean this.
        case .geluTanh: ["gelu_pytorch_tanh", "gelu_new", "gelu_fast", "gelu"]
        case .reluSquared: ["relu2"]
        }
    }
}
