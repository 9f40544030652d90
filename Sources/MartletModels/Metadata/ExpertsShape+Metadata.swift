// SPDX-License-Identifier: Apache-2.0

import MartletCheckpoints
import MartletCompute

extension ExpertsShape {
    /// The experts of a layer; nil where it has none.
    init?(reading metadata: any ModelMetadata, _ traits: FamilyTraits, _ index: Int) throws(CheckpointError) {
        guard let count = try metadata.count(.experts), count > 0 else { return nil }
        // The hub's configurations have many ways to say which layers have experts; the tensors say it, too.
        let isDense =
            metadata.isGGUF || metadata.tensors == nil
            ? try index < metadata.count(.leadingDenseLayers) ?? 0
            : !metadata.holds("ffn_gate_inp.weight", layer: index)
        if isDense { return nil }
        guard case .gated(let gate) = traits.feedForward else {
            throw CheckpointError(.unsupportedModel, "experts without a gate are not supported")
        }
        var size = try metadata.count(.expertSize)
        if size == nil { size = try metadata.positive(.feedForwardSize, layer: index) }
        self.init(
            count: count, chosen: try metadata.positive(.chosenExperts), size: size ?? 0, gate: gate,
            scoring: try Self.scoring(metadata) ?? traits.expertScoring)
        normalizes = try metadata.flag(.normalizesExperts) ?? traits.normalizesExperts
        scale = try metadata.factor(.expertScale) ?? 1
        hasChoiceBias = metadata.holds("exp_probs_b.bias", layer: index)
        if metadata.holds("ffn_down_shexp.weight", layer: index) {
            let number = try metadata.count(.sharedExperts) ?? 1
            let (product, overflows) = number.multipliedReportingOverflow(by: self.size)
            shared = SharedExpert(
                size: try metadata.count(.sharedExpertSize) ?? (overflows ? .max : product),
                isGated: metadata.holds("ffn_gate_inp_shexp.weight", layer: index))
        }
    }

    private static func scoring(_ metadata: any ModelMetadata) throws(CheckpointError) -> RouteKernel.Scoring? {
        switch try metadata.count(.expertScoring) {
        case nil, 0: nil
        case 1: .softmax
        case 2: .sigmoid
        case 3: .softmaxOfChosen
        case let other?:
            throw CheckpointError(
                .unsupportedModel, "\(metadata.key(.expertScoring)) is \(other), which is not supported")
        }
    }
}
