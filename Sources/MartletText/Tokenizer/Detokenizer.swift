// SPDX-License-Identifier: Apache-2.0

/// Turns bytes that arrive in pieces into text, holding back a character until all of it is there.
///
/// The pieces, joined, equal the whole decoded at once, invalid bytes included.
package struct Detokenizer: Sendable {
    private var pending: [UInt8] = []

    package init() {}

    /// The text that is certain after these bytes; often a whole token's, sometimes none.
    package mutating func append(_ bytes: some Sequence<UInt8>) -> String {
        pending.append(contentsOf: bytes)
        let held = Self.lengthOfUnfinishedCharacter(pending)
        let text = String(decoding: pending.dropLast(held), as: UTF8.self)
        pending.removeFirst(pending.count - held)
        return text
    }

    /// What was held back, as U+FFFD: no more bytes will come.
    package mutating func finish() -> String {
        defer { pending.removeAll() }
        return String(decoding: pending, as: UTF8.self)
    }

    /// Bytes at the end that are the beginning of a valid character: 0 to 3.
    private static func lengthOfUnfinishedCharacter(_ bytes: [UInt8]) -> Int {
        for length in stride(from: min(3, bytes.count), to: 0, by: -1) {
            let tail = bytes.suffix(length)
            guard let lead = tail.first, tail.dropFirst().allSatisfy({ $0 & 0xc0 == 0x80 }) else { continue }
            let second: ClosedRange<UInt8>
            let needed: Int
            switch lead {
            case 0xc2...0xdf: (needed, second) = (2, 0x80...0xbf)
            case 0xe0: (needed, second) = (3, 0xa0...0xbf)
            case 0xed: (needed, second) = (3, 0x80...0x9f)
            case 0xe1...0xef: (needed, second) = (3, 0x80...0xbf)
            case 0xf0: (needed, second) = (4, 0x90...0xbf)
            case 0xf1...0xf3: (needed, second) = (4, 0x80...0xbf)
            case 0xf4: (needed, second) = (4, 0x80...0x8f)
            default: continue
            }
            if length < needed, tail.dropFirst().first.map(second.contains) ?? true { return length }
        }
        return 0
    }
}
