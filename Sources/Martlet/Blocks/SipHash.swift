// SPDX-License-Identifier: Apache-2.0

/// A keyed hash: who doesn't know the key can't make values collide. SipHash-2-4 (Aumasson, Bernstein 2012), over whole
/// words of 64 bits.
package struct SipHash {
    /// 128 secret bits, or a seed's.
    package struct Key: Sendable {
        let low: UInt64
        let high: UInt64
        /// Bits of the hash that are used. Few of them make collisions, which must be harmless.
        let mask: UInt64

        package init(low: UInt64, high: UInt64, mask: UInt64 = .max) {
            self.low = low
            self.high = high
            self.mask = mask
        }

        package static func random() -> Key {
            Key(low: .random(in: .min ... .max), high: .random(in: .min ... .max))
        }
    }

    private var v0: UInt64
    private var v1: UInt64
    private var v2: UInt64
    private var v3: UInt64
    private let mask: UInt64
    private var byteCount: UInt64 = 0

    package init(_ key: Key) {
        v0 = key.low ^ 0x736f_6d65_7073_6575
        v1 = key.high ^ 0x646f_7261_6e64_6f6d
        v2 = key.low ^ 0x6c79_6765_6e65_7261
        v3 = key.high ^ 0x7465_6462_7974_6573
        mask = key.mask
    }

    package mutating func combine(_ word: UInt64) {
        byteCount &+= 8
        compress(word)
    }

    /// Ends the hash with up to seven bytes more, the first in the lowest bits.
    package mutating func finish(tail: UInt64 = 0, tailBytes: UInt64 = 0) -> UInt64 {
        compress((byteCount &+ tailBytes) << 56 | tail)
        v2 ^= 0xff
        for _ in 0..<4 { round() }
        return (v0 ^ v1 ^ v2 ^ v3) & mask
    }

    private mutating func compress(_ word: UInt64) {
        v3 ^= word
        round()
        round()
        v0 ^= word
    }

    private mutating func round() {
        v0 &+= v1
        v1 = v1 << 13 | v1 >> 51
        v1 ^= v0
        v0 = v0 << 32 | v0 >> 32
        v2 &+= v3
        v3 = v3 << 16 | v3 >> 48
        v3 ^= v2
        v0 &+= v3
        v3 = v3 << 21 | v3 >> 43
        v3 ^= v0
        v2 &+= v1
        v1 = v1 << 17 | v1 >> 47
        v1 ^= v2
        v2 = v2 << 32 | v2 >> 32
    }
}
