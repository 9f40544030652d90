// SPDX-License-Identifier: Apache-2.0

/// How finely activations are quantised, in blocks of 32, before they meet quantised weights.
public enum ActivationPrecision: String, Sendable, CaseIterable {
    /// Twice the speed at prompts; adds about as much noise as llama.cpp's own int8 activations do.
    case int8
    /// Two bytes an activation: the weights' own rounding is all that is left.
    case int16
}
