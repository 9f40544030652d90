// SPDX-License-Identifier: Apache-2.0

/// A function of each number by itself.
package enum Activation: Hashable, Sendable, CaseIterable {
    /// `x / (1 + e^-x)`
    case silu
    /// `x * Phi(x)`, by the error function.
    case gelu
    /// The same by `tanh(sqrt(2 / pi) * (x + 0.044715 x^3))`.
    case geluTanh
    /// `max(x, 0)^2`
    case reluSquared
}

/// How a gate and what it lets through become one number.
package enum Gate: Hashable, Sendable {
    /// `activation(gate) * up`
    case product(Activation)
    /// `(u + 1) * g / (1 + e^(-alpha * g))` with `g = min(gate, limit)` and `u = up` held to `-limit ... limit`.
    case clampedSwiGLU(alpha: Float, limit: Float)
}
