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
        /// Each frequency divided by its own factor, as GGUF's `rope_freqs` stores a scaling already worked out.
        case factors([Double])
    }

    /// Elements of a head that turn, from its beginning; even.
    package let dimensions: Int
    package let base: Double
    package let scaling: Scaling

    package init(dimensions: Int, base: Double, scaling: Scaling = .none) {
        self.dimensions = dimensions
        self.base = base
        self.scaling = scaling
    }

    /// Radians a position, `[dimensions / 2]`.
    package var inverseFrequencies: [Double] {
        (0..<dimensions / 2).map { pair in
            let frequency = pow(base, -Double(2 * pair) / Double(dimensions))
            switch scaling {
            case .none: return frequency
            case .linear(let factor): return frequency / factor
            case .factors(let factors): return frequency / factors[pair]
            case .llama3(let factor, let low, let high, let original):
                let rotations = Double(original) * frequency / (2 * .pi)
                if rotations < low { return frequency / factor }
                if rotations > high { return frequency }
                let ramp = (rotations - low) / (high - low)
                return frequency * ((1 - ramp) / factor + ramp)
            }
        }
    }
}
