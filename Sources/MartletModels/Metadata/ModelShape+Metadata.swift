// SPDX-License-Identifier: Apache-2.0

package import MartletCheckpoints
import MartletCompute

extension ModelShape {
    /// What most families say alike: layers of one shape with RMS norms, rotated heads and gated feed-forward.
    package init(reading metadata: any ModelMetadata) throws(CheckpointError) {
        let contextLength = try metadata.positive(.contextLength)
        try Self.refuseUnread(metadata, contextLength: contextLength)
        let hiddenSize = try metadata.positive(.hiddenSize)
        let epsilon = try metadata.number(.rootMeanSquareEpsilon) ?? metadata.defaultEpsilon
        let norm = NormShape(epsilon: Float(try metadata.required(epsilon, .rootMeanSquareEpsilon)))
        let layerCount = try metadata.positive(.layers)
        try Self.check(layerCount, Self.layerCounts, "the number of layers")
        var layers: [LayerShape] = []
        for index in 0..<layerCount {
            let heads = try AttentionHeads(reading: metadata, hiddenSize: hiddenSize, layer: index)
            let size = try metadata.positive(.feedForwardSize, layer: index)
            layers.append(
                LayerShape(
                    attention: AttentionShape(
                        heads: heads, rotary: try RotaryEmbedding(reading: metadata, headSize: heads.headSize)),
                    feedForward: .gated(size, .product(.silu)), norm: norm))
        }
        let saysTied = try metadata.flag(.tiesOutput) ?? false
        self.init(
            hiddenSize: hiddenSize, vocabularySize: try metadata.vocabularySize, contextLength: contextLength,
            layers: layers, outputNorm: norm,
            tiesOutput: metadata.holdsTensor(WeightName.output).map { !$0 } ?? saysTied)
    }

    /// Says which of its metadata would be passed over.
    private static func refuseUnread(_ metadata: any ModelMetadata, contextLength: Int) throws(CheckpointError) {
        if let experts = try metadata.count(.experts), experts > 0 {
            throw CheckpointError(
                .unsupportedModel, "mixtures of experts (\(metadata.key(.experts)) is \(experts)) are not supported")
        }
        let usesWindow = try metadata.flag(.usesWindow) ?? true
        if let window = try metadata.count(.window), window > 0, window < contextLength, usesWindow {
            throw CheckpointError(.unsupportedModel, "sliding-window attention (\(window) tokens) is not supported")
        }
        if let factor = try metadata.number(.partialRotaryFactor), factor != 1 {
            throw CheckpointError(
                .unsupportedModel, "\(metadata.key(.partialRotaryFactor)) is \(factor); only 1 is supported")
        }
        if metadata.isQuantizedOtherwise {
            throw CheckpointError(.unsupportedModel, "weights with a quantization_config are not supported")
        }
        if let activation = try metadata.text(.activation), activation != "silu" {
            throw CheckpointError(.unsupportedModel, "the activation \(activation.debugDescription) is not supported")
        }
        if let pooling = try metadata.count(.pooling), pooling > 0 {
            throw CheckpointError(
                .unsupportedModel,
                "models that make embeddings (\(metadata.key(.pooling)) is \(pooling)) are not supported")
        }
        for (field, neutral) in MetadataField.unreadNumbers {
            if let value = try metadata.number(field), !neutral.contains(value) {
                throw CheckpointError(.unsupportedModel, "\(metadata.key(field)) is \(value), which is not supported")
            }
        }
        for (field, neutral) in MetadataField.unreadFlags {
            if let value = try metadata.flag(field), value != neutral {
                throw CheckpointError(.unsupportedModel, "\(metadata.key(field)) is \(value), which is not supported")
            }
        }
    }
}

extension ModelMetadata {
    /// What a `config.json` without an epsilon means: the default of the hub's own code.
    fileprivate var defaultEpsilon: Double? { isGGUF ? nil : 1e-6 }
}

extension AttentionHeads {
    fileprivate init(
        reading metadata: any ModelMetadata, hiddenSize: Int, layer: Int
    ) throws(CheckpointError) {
        let queryHeads = try metadata.positive(.queryHeads, layer: layer)
        let headSize = try metadata.count(.keySize) ?? hiddenSize / queryHeads
        if let valueSize = try metadata.count(.valueSize), valueSize != headSize {
            throw CheckpointError(.unsupportedModel, "keys of \(headSize) and values of \(valueSize) elements")
        }
        try self.init(
            checking: queryHeads, keyValueHeads: metadata.count(.keyValueHeads, layer: layer) ?? queryHeads,
            headSize: headSize)
    }
}

extension RotaryEmbedding {
    /// A GGUF file's own divisor of each frequency, where a scaling was worked out when it was made.
    static let factorTensor = "rope_freqs.weight"

    fileprivate init(reading metadata: any ModelMetadata, headSize: Int) throws(CheckpointError) {
        let dimensions = try metadata.count(.ropeDimensions) ?? headSize
        self.init(
            dimensions: dimensions, base: try metadata.number(.ropeBase) ?? 10_000,
            scaling: try Scaling(reading: metadata, dimensions: dimensions))
    }
}

extension RotaryEmbedding.Scaling {
    fileprivate init(reading metadata: any ModelMetadata, dimensions: Int) throws(CheckpointError) {
        func positive(_ field: MetadataField) throws(CheckpointError) -> Double {
            let value = try metadata.required(metadata.number(field), field)
            guard value.isFinite, value > 0 else {
                throw CheckpointError(.invalidMetadata, "\(metadata.key(field)) is \(value); it must be positive")
            }
            return value
        }
        let legacyFactor = try metadata.number(.legacyRopeFactor)
        // As GGUF has it, a factor without a type divides positions; a `config.json` with a factor names a type.
        let ropeFactor = try metadata.number(.ropeFactor)
        let factor = ropeFactor ?? legacyFactor
        let named = try metadata.text(.ropeScaling)
        if named == nil, factor != nil, !metadata.isGGUF {
            throw CheckpointError(.invalidMetadata, "\(metadata.key(.ropeFactor)) is given without a type of scaling")
        }
        // Files say 0 where they mean none, and 1 divides by nothing.
        let type = named ?? ([0, 1].contains(factor ?? 0) ? "none" : "linear")
        if let factors = try metadata.vector(RotaryEmbedding.factorTensor, length: dimensions / 2) {
            guard type == "none" || type == "llama3" else {
                throw CheckpointError(
                    .unsupportedModel,
                    "rope scaling \(type) beside \(RotaryEmbedding.factorTensor) is not supported")
            }
            self = .factors(factors)
            return
        }
        switch type {
        case "none", "default": self = .none
        case "linear":
            self = .linear(
                factor: try positive(ropeFactor == nil && legacyFactor != nil ? .legacyRopeFactor : .ropeFactor))
        case "llama3":
            self = .llama3(
                factor: try positive(.ropeFactor), lowFrequencyFactor: try positive(.ropeLowFrequencyFactor),
                highFrequencyFactor: try positive(.ropeHighFrequencyFactor),
                originalContextLength: try metadata.positive(.ropeOriginalContextLength))
        default:
            throw CheckpointError(
                .unsupportedModel, "rope scaling \(type.debugDescription) is not supported; none, linear and llama3 are"
            )
        }
    }
}
