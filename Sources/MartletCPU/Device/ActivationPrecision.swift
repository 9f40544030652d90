// SPDX-License-Identifier: Apache-2.0

/// How finely activations are quantised, in blocks of 32, before they meet quantised weights.
public enum ActivationPrecision: String, Sendable, CaseIterable {
    /// As llama.cpp does, and with about as much noise.
    case int8
    /// Two bytes an activation: the weights' own rounding is all that is left. Prompts take about twice as long.
    case int16
}
