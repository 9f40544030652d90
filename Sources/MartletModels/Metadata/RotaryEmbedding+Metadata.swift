// SPDX-License-Identifier: Apache-2.0

import MartletCheckpoints

extension RotaryEmbedding {
    /// A GGUF file's own divisor of each frequency, where a scaling was worked out when it was made.
    static let factorTensor = "rope_freqs.weight"
    /// Phi's divisors, for sequences beyond the original context and for those within.
    static let longFactorTensor = "rope_factors_long.weight"
    static let shortFactorTensor = "rope_factors_short.weight"

    /// - Parameters:
    ///   - isWindowed: whether it is of a layer with a window, which may have a base of its own and no scaling.
    ///   - longest: tokens of the longest sequence. Where a model has factors for long sequences and for short ones, it
    ///     decides once: keys that are in the cache can't be rotated anew.
    init(
        reading metadata: any ModelMetadata, _ traits: FamilyTraits, headSize: Int, isWindowed: Bool, longest: Int
    ) throws(CheckpointError) {
        var dimensions = try metadata.count(.ropeDimensions) ?? headSize
        if isWindowed, let own = try metadata.count(.windowRopeDimensions) { dimensions = own }
        if isWindowed, let base = try metadata.number(.windowRopeBase) ?? traits.windowRopeBase {
            self.init(dimensions: dimensions, base: base)
            return
        }
        let base = try metadata.number(.ropeBase) ?? 10_000
        if let original = try metadata.count(.ropeOriginalContextLength),
            metadata.holdsTensor(Self.longFactorTensor) == true
        {
            let tensor = longest > original ? Self.longFactorTensor : Self.shortFactorTensor
            guard let factors = try metadata.vector(tensor, length: dimensions / 2) else {
                throw CheckpointError(.missingTensor, "the file lacks the tensor \(tensor)")
            }
            let magnitude = try metadata.number(.ropeMagnitude) ?? 1
            self.init(dimensions: dimensions, base: base, scaling: .factors(factors), magnitude: magnitude)
            return
        }
        var scaling = try Scaling(reading: metadata, dimensions: dimensions)
        if case .yarn(var yarn) = scaling {
            yarn.truncates = traits.truncatesYaRN
            scaling = .yarn(yarn)
        }
        self.init(
            dimensions: dimensions, base: base, scaling: scaling, magnitude: try scaling.magnitude(metadata))
    }
}

extension RotaryEmbedding.Scaling {
    fileprivate func magnitude(_ metadata: any ModelMetadata) throws(CheckpointError) -> Double {
        guard case .yarn(let yarn) = self else { return 1 }
        if let magnitude = try metadata.number(.ropeMagnitude), magnitude != 0 { return magnitude }
        // The multiplier stands for two that cancel each other.
        if let multiplier = try metadata.number(.yarnLogMultiplier), multiplier != 0 { return 1 }
        return yarn.defaultMagnitude
    }

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
        case "yarn" where metadata.isGGUF:
            var yarn = YaRN(
                factor: try positive(.ropeFactor),
                originalContextLength: try metadata.positive(.ropeOriginalContextLength))
            yarn.fastRotations = try metadata.number(.yarnFastRotations) ?? yarn.fastRotations
            yarn.slowRotations = try metadata.number(.yarnSlowRotations) ?? yarn.slowRotations
            guard yarn.slowRotations > 0, yarn.fastRotations > yarn.slowRotations else {
                throw CheckpointError(.invalidMetadata, "YaRN's rotations must be positive, the fast ones more")
            }
            self = .yarn(yarn)
        default:
            throw CheckpointError(
                .unsupportedModel,
                "rope scaling \(type.debugDescription) is not supported; none, linear, llama3 and yarn are")
        }
    }
}
