// SPDX-License-Identifier: Apache-2.0

import Glibc
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
        let dimensions = try Self.dimensions(reading: metadata, headSize: headSize, isWindowed: isWindowed)
        let base = try metadata.number(.ropeBase) ?? 10_000
        if isWindowed {
            let own = try metadata.number(.windowRopeBase) ?? traits.windowRopeBase
            if own != nil || !traits.scalesWindowRotations {
                if let type = try metadata.text(.windowRopeScaling), type != "default" {
                    throw CheckpointError(
                        .unsupportedModel,
                        "rope scaling \(type.debugDescription) in layers with a window is not supported")
                }
                self.init(dimensions: dimensions, base: own ?? base)
                return
            }
        }
        if let original = try metadata.count(.ropeOriginalContextLength),
            try metadata.vector(Self.longFactorTensor, length: dimensions / 2) != nil
        {
            let tensor = longest > original ? Self.longFactorTensor : Self.shortFactorTensor
            guard let factors = try metadata.vector(tensor, length: dimensions / 2) else {
                throw CheckpointError(.missingTensor, "the file lacks the tensor \(tensor)")
            }
            let own = try metadata.number(.ropeMagnitude)
            let magnitude = try own == nil ? Self.longropeMagnitude(metadata, original: original) : own ?? 1
            self.init(dimensions: dimensions, base: base, scaling: .factors(factors), magnitude: magnitude)
            return
        }
        var scaling = try Scaling(reading: metadata, dimensions: dimensions)
        if case .yarn(var yarn) = scaling {
            yarn.truncates = try metadata.flag(.truncatesYaRN) ?? traits.truncatesYaRN
            scaling = .yarn(yarn)
        }
        self.init(
            dimensions: dimensions, base: base, scaling: scaling, magnitude: try scaling.magnitude(metadata))
    }

    /// Elements of a head that turn.
    private static func dimensions(
        reading metadata: any ModelMetadata, headSize: Int, isWindowed: Bool
    ) throws(CheckpointError) -> Int {
        if isWindowed, let own = try metadata.count(.windowRopeDimensions) { return own }
        if let count = try metadata.count(.ropeDimensions) {
            // What is worked out of it is allocated before the shape is validated.
            try ModelShape.check(count, 2...headSize, "the number of rotary dimensions")
            return count
        }
        // Proportional ones all turn, but for those whose frequency is divided by next to infinity.
        if !isWindowed, try metadata.text(.ropeScaling) == Scaling.proportionalType { return headSize }
        let field = isWindowed ? MetadataField.windowPartialRotaryFactor : .partialRotaryFactor
        let own = try metadata.number(field)
        // What is said of full attention isn't meant for layers whose rotations have an entry of their own.
        let windowBase = try metadata.number(.windowRopeBase)
        let isApart = isWindowed && windowBase != nil
        let shared = isApart ? nil : try metadata.number(.partialRotaryFactor)
        guard let factor = own ?? shared else { return headSize }
        guard factor > 0, factor <= 1 else {
            throw CheckpointError(.invalidMetadata, "\(metadata.key(.partialRotaryFactor)) is \(factor)")
        }
        return Int(Double(headSize) * factor)
    }

    /// What longrope multiplies cosines and sines with where the model doesn't say: by how much its context was stretched.
    private static func longropeMagnitude(
        _ metadata: any ModelMetadata, original: Int
    ) throws(CheckpointError) -> Double {
        guard !metadata.isGGUF, original > 1 else { return 1 }
        let factor = Double(try metadata.positive(.contextLength)) / Double(original)
        return factor > 1 ? (1 + log(factor) / log(Double(original))).squareRoot() : 1
    }
}

extension RotaryEmbedding.Scaling {
    fileprivate func magnitude(_ metadata: any ModelMetadata) throws(CheckpointError) -> Double {
        guard case .yarn(let yarn) = self else {
            if let magnitude = try metadata.number(.ropeMagnitude), ![0, 1].contains(magnitude) {
                throw CheckpointError(
                    .unsupportedModel, "\(metadata.key(.ropeMagnitude)) is \(magnitude), which is not supported")
            }
            return 1
        }
        if let magnitude = try metadata.number(.ropeMagnitude), magnitude != 0 { return magnitude }
        // The multiplier stands for two that cancel each other.
        if let multiplier = try metadata.number(.yarnLogMultiplier), multiplier != 0 { return 1 }
        if let one = try metadata.factor(.yarnMagnitude), let all = try metadata.factor(.yarnMagnitudeOfAll) {
            return yarn.magnitude(times: Double(one)) / yarn.magnitude(times: Double(all))
        }
        return yarn.magnitude()
    }

    /// Gemma 4's: the first elements turn as fast as if all did, the others not at all.
    static let proportionalType = "proportional"

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
        // As far as the context that a model was trained for this divides nothing.
        case "dynamic" where !metadata.isGGUF: self = .none
        case Self.proportionalType where !metadata.isGGUF:
            let share = try positive(.partialRotaryFactor)
            guard share <= 1 else {
                throw CheckpointError(.invalidMetadata, "\(metadata.key(.partialRotaryFactor)) is \(share)")
            }
            let turning = Int(Double(dimensions) * share) / 2
            self = .factors((0..<dimensions / 2).map { $0 < turning ? 1 : 1e30 })
        case "linear":
            self = .linear(
                factor: try positive(ropeFactor == nil && legacyFactor != nil ? .legacyRopeFactor : .ropeFactor))
        case "llama3":
            self = .llama3(
                factor: try positive(.ropeFactor), lowFrequencyFactor: try positive(.ropeLowFrequencyFactor),
                highFrequencyFactor: try positive(.ropeHighFrequencyFactor),
                originalContextLength: try metadata.positive(.ropeOriginalContextLength))
        case "yarn":
            // A configuration without it means the context that it states.
            let stated = try metadata.count(.ropeOriginalContextLength)
            let original = try metadata.positive(
                stated == nil && !metadata.isGGUF ? .contextLength : .ropeOriginalContextLength)
            var yarn = YaRN(factor: try positive(.ropeFactor), originalContextLength: original)
            yarn.fastRotations = try metadata.number(.yarnFastRotations) ?? yarn.fastRotations
            yarn.slowRotations = try metadata.number(.yarnSlowRotations) ?? yarn.slowRotations
            guard yarn.slowRotations > 0, yarn.fastRotations > yarn.slowRotations else {
                throw CheckpointError(.invalidMetadata, "YaRN's rotations must be positive, the fast ones more")
            }
            self = .yarn(yarn)
        default:
            throw CheckpointError(
                .unsupportedModel,
                "rope scaling \(type.debugDescription) is not supported; none, linear, llama3, yarn and longrope are")
        }
    }
}
