// SPDX-License-Identifier: Apache-2.0

import MartletCompute

/// gpt-oss: experts with biases and clamped gates, sinks, a window in every other layer.
package enum GPTOSS: ModelFamily {
    package static let architectures = ["gpt-oss"]
    package static let hubArchitectures = ["gpt_oss"]

    package static func traits(_ metadata: any ModelMetadata) -> FamilyTraits {
        var traits = FamilyTraits()
        traits.normNames = .beforeBoth
        traits.feedForward = .gated(.clampedSwiGLU(alpha: 1.702, limit: 7))
        traits.expertScoring = .softmaxOfChosen
        traits.windowPattern = 2
        traits.truncatesYaRN = false
        return traits
    }

    /// Experts stand with their inputs first; the rows of gates and of what they let through take turns.
    package static func hubNames(_ metadata: any ModelMetadata) -> HubNames {
        var names = HubNames.beforeBoth
        names.inner["mlp.router"] = ["ffn_gate_inp"]
        names.inner["mlp.experts.gate_up_proj"] = [
            .init("ffn_gate_exps.weight", rows: .every(2, from: 0), isTransposed: true),
            .init("ffn_up_exps.weight", rows: .every(2, from: 1), isTransposed: true),
        ]
        names.inner["mlp.experts.gate_up_proj_bias"] = [
            .init("ffn_gate_exps.bias", rows: .every(2, from: 0)), .init("ffn_up_exps.bias", rows: .every(2, from: 1)),
        ]
        names.inner["mlp.experts.down_proj"] = [.init("ffn_down_exps.weight", isTransposed: true)]
        names.inner["mlp.experts.down_proj_bias"] = ["ffn_down_exps.bias"]
        return names
    }
}
