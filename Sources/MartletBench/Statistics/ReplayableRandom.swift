// SPDX-License-Identifier: Apache-2.0

import MartletCompute

/// Random numbers that a seed brings back on any machine: SplitMix64 (Steele, Lea, Flood 2014).
public struct ReplayableRandom: RandomNumberGenerator, Sendable {
    private var state: UInt64

    public init(seed: UInt64) { state = seed }

    public mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        return DrawKey.mix(state)
    }

    /// True once in `count` times.
    mutating func oneIn(_ count: Int) -> Bool { Int.random(in: 0..<count, using: &self) == 0 }
}
