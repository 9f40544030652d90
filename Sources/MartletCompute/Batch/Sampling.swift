// SPDX-License-Identifier: Apache-2.0

/// How one row of logits becomes a token: edits and penalties, then temperature, min-p, top-k and top-p, as vLLM orders
/// them.
package struct SamplingRow: Equatable, BitwiseCopyable, Sendable {
    /// 0 is greedy: the largest logit, of equals the lowest id.
    package var temperature: Float
    /// Keeps the k likeliest; 0 keeps all.
    package var topK: Int32
    /// Keeps the likeliest whose probabilities reach this sum; 1 keeps all.
    package var topP: Float
    /// Keeps what is at least this fraction of the likeliest; 0 keeps all.
    package var minP: Float
    /// What the draw is keyed by: the same key draws the same number on any machine, in any batch.
    package var key: DrawKey
    /// A token whose logprob is reported beside the sample's; negative for none.
    package var target: Int32
    /// How many of the likeliest tokens are reported, up to the batch's capacity.
    package var topLogprobs: Int32 = 0
    /// The table row whose `LogitEdits` and penalties apply to this row; negative for none.
    package var editedSequence: Int32 = -1
    /// Divides a positive logit of a token that the sequence holds already, multiplies a negative one; 1 leaves it.
    package var repetitionPenalty: Float = 1
    /// Taken from the logit of a token that the answer holds already.
    package var presencePenalty: Float = 0
    /// Taken from it as many times as the answer holds it.
    package var frequencyPenalty: Float = 0

    package init(
        temperature: Float, topK: Int32 = 0, topP: Float = 1, minP: Float = 0, key: DrawKey = DrawKey(),
        target: Int32 = -1
    ) {
        self.temperature = temperature
        self.topK = topK
        self.topP = topP
        self.minP = minP
        self.key = key
        self.target = target
    }

    package static let greedy = SamplingRow(temperature: 0)
}

/// The identity of a random draw.
package struct DrawKey: Hashable, BitwiseCopyable, Sendable {
    package var seed: UInt64
    /// Which of a request's parallel samples.
    package var sampleIndex: UInt32
    /// Position of the drawn token in its sequence.
    package var position: UInt32

    package init(seed: UInt64 = 0, sampleIndex: UInt32 = 0, position: UInt32 = 0) {
        self.seed = seed
        self.sampleIndex = sampleIndex
        self.position = position
    }

    /// The `draw`-th number of this key, uniform in [0, 1), a multiple of 2^-53.
    ///
    /// SplitMix64's finaliser (Steele, Lea, Flood 2014) over each part of the key in turn.
    package func uniform(draw: UInt32) -> Double {
        var state = Self.mix(seed &+ 0x9e37_79b9_7f4a_7c15)
        state = Self.mix(state ^ (UInt64(sampleIndex) << 32 | UInt64(position)))
        state = Self.mix(state &+ UInt64(draw) &* 0x9e37_79b9_7f4a_7c15)
        return Double(state >> 11) * 0x1p-53
    }

    /// SplitMix64's finaliser: a bijection that leaves no trace of its input.
    package static func mix(_ value: UInt64) -> UInt64 {
        var z = value
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}

/// A token and its natural log-probability.
public struct TokenLogprob: Equatable, BitwiseCopyable, Sendable {
    /// The token's id.
    public var token: Int32
    /// Its natural log-probability.
    public var logprob: Float

    /// A pair of both.
    public init(token: Int32, logprob: Float) {
        self.token = token
        self.logprob = logprob
    }
}

/// What the device says of one row. Logprobs are natural logarithms under the unmodified distribution
/// (temperature 1, nothing edited or cut off), as vLLM's `raw_logprobs`.
package struct SampledToken: Equatable, BitwiseCopyable, Sendable {
    /// No logit of the row is finite.
    package static let notFinite: Int32 = -1
    /// Edits left no token to choose.
    package static let nothingAllowed: Int32 = -2

    /// Negative where there is none, and then one of the above.
    package var token: Int32 = SampledToken.notFinite
    package var logprob: Float = 0
    /// Logprob of `SamplingRow.target`, 0 without one.
    package var targetLogprob: Float = 0

    package init() {}
}
