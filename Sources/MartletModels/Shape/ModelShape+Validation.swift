// SPDX-License-Identifier: Apache-2.0

package import MartletCheckpoints
package import MartletCompute

/// Bounds of what files may say: everything behind them multiplies and divides by these numbers.
extension ModelShape {
    package static let layerCounts = 1...1024

    package static func check(_ value: Int, _ range: ClosedRange<Int>, _ name: String) throws(CheckpointError) {
        guard range.contains(value) else {
            throw CheckpointError(.invalidMetadata, "\(name) is \(value); it must be in \(range)")
        }
    }

    /// Throws where a number is outside of what any model has.
    package func validate() throws(CheckpointError) {
        try Self.check(layers.count, Self.layerCounts, "the number of layers")
        try Self.check(hiddenSize, 1...(1 << 17), "the hidden size")
        try Self.check(vocabularySize, 1...(1 << 22), "the vocabulary size")
        try Self.check(contextLength, 2...(1 << 24), "the context length")
        for layer in layers { try layer.validate() }
        try outputNorm.validate()
        try embeddingNorm?.validate()
        for (factor, name) in [
            (embeddingScale, "embedding"), (residualScale, "residual"), (logitScale, "logit"),
        ] where !factor.isFinite || factor == 0 {
            throw CheckpointError(.invalidMetadata, "the \(name) scale is \(factor)")
        }
    }
}

extension LayerShape {
    fileprivate func validate() throws(CheckpointError) {
        try attention.validate()
        try norm.validate()
        guard outputScale.isFinite, outputScale != 0 else {
            throw CheckpointError(.invalidMetadata, "a layer's output scale is \(outputScale)")
        }
        switch feedForward {
        case .gated(let size, _), .plain(let size, _):
            try ModelShape.check(size, 1...(1 << 19), "the feed-forward size")
        case .experts(let experts):
            try ModelShape.check(experts.size, 1...(1 << 19), "the experts' feed-forward size")
            try ModelShape.check(experts.count, 1...(1 << 14), "the number of experts")
            try ModelShape.check(experts.chosen, 1...experts.count, "the number of experts of a token")
            if let shared = experts.shared {
                try ModelShape.check(shared.size, 1...(1 << 19), "the shared expert's feed-forward size")
            }
        }
    }
}

extension AttentionShape {
    fileprivate func validate() throws(CheckpointError) {
        if let rotary {
            try ModelShape.check(rotary.dimensions, 2...heads.headSize, "the number of rotary dimensions")
            guard rotary.dimensions % 2 == 0 else {
                throw CheckpointError(.invalidMetadata, "the number of rotary dimensions is odd")
            }
            guard rotary.base.isFinite, rotary.base > 0 else {
                throw CheckpointError(
                    .invalidMetadata, "the rope base is \(rotary.base); it must be positive and finite")
            }
            guard rotary.magnitude.isFinite, rotary.inverseFrequencies.allSatisfy(\.isFinite) else {
                throw CheckpointError(.invalidMetadata, "the rope scaling yields frequencies that are not finite")
            }
        }
        try headNorm?.validate()
        try valueNorm?.validate()
        guard scale.isFinite, scale > 0 else {
            throw CheckpointError(.invalidMetadata, "the attention scale is \(scale); it must be positive")
        }
        for (cap, name) in [(softcap, "score cap"), (clamp, "clamp")] {
            guard let cap else { continue }
            guard cap.isFinite, cap > 0 else {
                throw CheckpointError(.invalidMetadata, "the \(name) is \(cap); it must be positive")
            }
        }
        switch visibility.scope {
        case .all: break
        case .window(let length): try ModelShape.check(length, 1...(1 << 24), "the window")
        case .chunks(let length, let lookback):
            try ModelShape.check(length, 1...(1 << 24), "the chunk length")
            try ModelShape.check(lookback, 0...(1 << 24), "the chunk lookback")
        }
        if let temperature = queryTemperature {
            try ModelShape.check(temperature.length, 1...(1 << 24), "the temperature's length")
        }
    }
}

extension NormShape {
    fileprivate func validate() throws(CheckpointError) {
        guard epsilon.isFinite, epsilon >= 0 else {
            throw CheckpointError(.invalidMetadata, "the norm's epsilon is \(epsilon)")
        }
    }
}

extension AttentionHeads {
    /// Checks the numbers of a file before they are relied on.
    package init(
        checking queryHeads: Int, keyValueHeads: Int, headSize: Int
    ) throws(CheckpointError) {
        guard (1...1024).contains(queryHeads), (1...queryHeads).contains(keyValueHeads),
            queryHeads % keyValueHeads == 0
        else {
            throw CheckpointError(
                .invalidMetadata,
                "\(queryHeads) query heads over \(keyValueHeads) KV heads: the first must be a multiple of the second")
        }
        try ModelShape.check(headSize, 2...1024, "the head size")
        self.init(queryHeads: queryHeads, keyValueHeads: keyValueHeads, headSize: headSize)
    }
}
