// SPDX-License-Identifier: Apache-2.0

import MartletCompute

extension ModelShape {
    /// The context at which a token's attention takes as many multiplications as its linear layers.
    ///
    /// A windowed layer's attention stops to grow at its window; of experts, those that a token is sent to count.
    package var attentionDoublingContext: Int {
        let linear = layers.reduce(0) { $0 + $1.multiplications(hiddenSize: hiddenSize) }
        func attention(_ context: Int) -> Int {
            layers.reduce(0) { $0 + $1.attention.multiplications(context: context) }
        }
        // The largest context whose attention takes no more.
        var (lower, upper) = (1, 1 << 24)
        while lower < upper {
            let middle = (lower + upper + 1) / 2
            if attention(middle) <= linear { lower = middle } else { upper = middle - 1 }
        }
        return lower
    }
}

extension LayerShape {
    fileprivate func multiplications(hiddenSize: Int) -> Int {
        let heads = attention.heads
        let projections = hiddenSize * (2 * heads.outputColumns + 2 * heads.keyValueHeads * heads.headSize)
        switch feedForward {
        case .gated(let size, _): return projections + 3 * hiddenSize * size
        case .plain(let size, _): return projections + 2 * hiddenSize * size
        case .experts(let experts):
            let shared = experts.shared?.size ?? 0
            return projections + hiddenSize * (experts.count + 3 * (experts.chosen * experts.size + shared))
        }
    }
}

extension AttentionShape {
    /// A score and a weighted value for each key that is seen.
    fileprivate func multiplications(context: Int) -> Int {
        let seen =
            switch visibility.scope {
            case .all: context
            case .window(let length): min(context, length)
            case .chunks(let length, let lookback): min(context, length * (1 + lookback))
            }
        return 2 * heads.outputColumns * seen
    }
}
