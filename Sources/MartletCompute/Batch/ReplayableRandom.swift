// SPDX-License-Identifier: Apache-2.0

/// Random numbers that a seed brings back on any machine: SplitMix64 (Steele, Lea, Flood 2014).
package struct ReplayableRandom: RandomNumberGenerator, Sendable {
    private var state: UInt64

    package init(seed: UInt64) { state = seed }

    package mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        return DrawKey.mix(state)
    }
}
