// SPDX-License-Identifier: Apache-2.0

import Glibc

/// Rotary position embedding (Su et al. 2021): how fast each pair of a head turns with the position.
package struct RotaryEmbedding: Hashable, Sendable {
    /// How the frequencies of training are stretched to a longer context.
    package enum Scaling: Hashable, Sendable {
        case none
        /// Positions divided by a factor.
        case linear(factor: Double)
        /// Llama 3.1's: low frequencies divided, high ones kept, a ramp between.
        case llama3(factor: Double, lowFrequencyFactor: Double, highFrequencyFactor: Double, originalContextLength: Int)
        /// Each frequency divided by its own factor, as GGUF's `rope_freqs` stores a scaling already worked out, and Phi's
        /// longrope (Ding et al. 2024) has it.
        case factors([Double])
        /// YaRN (Peng et al. 2023): low frequencies divided, high ones kept, a ramp over the dimensions between.
        case yarn(YaRN)

        package struct YaRN: Hashable, Sendable {
            package var factor: Double
            package var originalContextLength: Int
            /// Rotations in the original context above which a frequency is kept.
            package var fastRotations = 32.0
            /// Rotations below which it is divided.
            package var slowRotations = 1.0
            /// Whether the ramp begins and ends at whole dimensions.
            package var truncates = true

            package init(factor: Double, originalContextLength: Int) {
                self.factor = factor
                self.originalContextLength = originalContextLength
            }

            /// What YaRN multiplies cosines and sines with where a model says nothing else.
            package func magnitude(times multiplier: Double = 1) -> Double {
                factor > 1 ? 0.1 * multiplier * log(factor) + 1 : 1
            }
        }
    }

    /// Elements of a head that turn, from its beginning; even.
    package let dimensions: Int
    package let base: Double
    package let scaling: Scaling
    /// What cosines and sines are multiplied with.
    package let magnitude: Double

    package init(dimensions: Int, base: Double, scaling: Scaling = .none, magnitude: Double = 1) {
        self.dimensions = dimensions
        self.base = base
        self.scaling = scaling
        self.magnitude = magnitude
    }

    /// Radians a position, `[dimensions / 2]`.
    package var inverseFrequencies: [Double] {
        (0..<dimensions / 2).map { pair in
            let frequency = pow(base, -Double(2 * pair) / Double(dimensions))
            switch scaling {
            case .none: return frequency
            case .linear(let factor): return frequency / factor
            case .factors(let factors): return frequency / factors[pair]
            case .yarn(let yarn):
                let (low, high) = yarnRamp(yarn)
                let ramp = min(max((Double(pair) - low) / (high - low), 0), 1)
                return frequency * (1 - ramp) + frequency / yarn.factor * ramp
            case .llama3(let factor, let low, let high, let original):
                let rotations = Double(original) * frequency / (2 * .pi)
                if rotations < low { return frequency / factor }
                if rotations > high { return frequency }
                let ramp = (rotations - low) / (high - low)
                return frequency * ((1 - ramp) / factor + ramp)
            }
        }
    }

    /// The pairs between which YaRN's ramp rises.
    private func yarnRamp(_ yarn: Scaling.YaRN) -> (low: Double, high: Double) {
        func pair(_ rotations: Double) -> Double {
            Double(dimensions) * log(Double(yarn.originalContextLength) / (rotations * 2 * .pi)) / (2 * log(base))
        }
        var (low, high) = (pair(yarn.fastRotations), pair(yarn.slowRotations))
        if yarn.truncates { (low, high) = (low.rounded(.down), high.rounded(.up)) }
        (low, high) = (max(low, 0), min(high, Double(dimensions - 1)))
        return (low, high == low ? high + 0.001 : high)
    }
}
