// SPDX-License-Identifier: Apache-2.0

import MartletCheckpoints
import MartletCompute
import MartletModels

extension ModelReport {
    /// How the model is wired.
    package struct Shape: Encodable, Sendable {
        /// Layers that are alike.
        package struct LayerKind: Encodable, Sendable {
            /// Their numbers, counted from 0.
            package internal(set) var layers: [Int]
            package let attention: String
            package let feedForward: String

            /// `0-4, 6`
            package var numbers: String {
                var stretches: [ClosedRange<Int>] = []
                for layer in layers {
                    if let last = stretches.last, last.upperBound == layer - 1 {
                        stretches[stretches.count - 1] = last.lowerBound...layer
                    } else {
                        stretches.append(layer...layer)
                    }
                }
                return stretches.map { $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)" }
                    .joined(separator: ", ")
            }
        }

        package let layers: Int
        package let hiddenSize: Int
        package let vocabularySize: Int
        package let contextLength: Int
        /// Whether the output projection is the embedding table.
        package let tiesOutput: Bool
        package let kinds: [LayerKind]

        /// nil where the metadata doesn't say it.
        init?(of file: GGUFFile) {
            guard let metadata = try? GGUFMetadata(file), let family = try? ModelFamilies.family(of: metadata),
                let shape = try? family.shape(of: metadata), (try? shape.validate()) != nil
            else { return nil }
            self.init(shape)
        }

        init(_ shape: ModelShape) {
            layers = shape.layers.count
            hiddenSize = shape.hiddenSize
            vocabularySize = shape.vocabularySize
            contextLength = shape.contextLength
            tiesOutput = shape.tiesOutput
            var kinds: [LayerKind] = []
            for (index, layer) in shape.layers.enumerated() {
                let (attention, feedForward) = (layer.attention.summary, layer.feedForward.summary)
                if let known = kinds.firstIndex(where: {
                    $0.attention == attention && $0.feedForward == feedForward
                }) {
                    kinds[known].layers.append(index)
                } else {
                    kinds.append(LayerKind(layers: [index], attention: attention, feedForward: feedForward))
                }
            }
            self.kinds = kinds
        }
    }
}

extension AttentionShape {
    fileprivate var summary: String {
        var items = ["\(heads.queryHeads) heads over \(heads.keyValueHeads) of \(heads.headSize)"]
        switch visibility.scope {
        case .all: break
        case .window(let length): items.append("window of \(length)")
        case .chunks(let length, let lookback): items.append("chunks of \(length), \(lookback) before")
        }
        if !visibility.isCausal { items.append("both ways") }
        if let rotary {
            let pairs = pairing == .adjacent ? "neighbours" : "halves"
            items.append("\(rotary.dimensions) turn by \(pairs), base \(Float(rotary.base))\(rotary.scaling.summary)")
        }
        if alibi != nil { items.append("ALiBi") }
        if headNorm != nil { items.append("norms of q and k") }
        if valueNorm != nil { items.append("norm of v") }
        if hasSinks { items.append("sinks") }
        if let softcap { items.append("scores capped at \(softcap)") }
        return items.joined(separator: ", ")
    }
}

extension RotaryEmbedding.Scaling {
    fileprivate var summary: String {
        switch self {
        case .none: ""
        case .linear(let factor): ", linear \(factor)"
        case .llama3(let factor, _, _, let original): ", llama3 \(factor) from \(original)"
        case .factors: ", a factor for each frequency"
        case .yarn(let yarn): ", yarn \(yarn.factor) from \(yarn.originalContextLength)"
        }
    }
}

extension FeedForwardShape {
    fileprivate var summary: String {
        switch self {
        case .gated(let size, let gate): return "\(size), gated by \(gate.summary)"
        case .plain(let size, let activation): return "\(size), \(activation)"
        case .experts(let experts):
            let shared = experts.shared.map { ", one of \($0.size) for all" } ?? ""
            return
                "\(experts.chosen) of \(experts.count) experts of \(experts.size), gated by \(experts.gate.summary)\(shared)"
        }
    }
}

extension Gate {
    fileprivate var summary: String {
        switch self {
        case .product(let activation): "\(activation)"
        case .clampedSwiGLU(_, let limit): "silu clamped at \(limit)"
        }
    }
}
