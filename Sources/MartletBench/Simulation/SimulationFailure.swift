// SPDX-License-Identifier: Apache-2.0

/// Something that must never happen, and the seed that makes it happen again.
package struct SimulationFailure: Error, Sendable, CustomStringConvertible {
    package let seed: UInt64
    package let step: Int
    package let message: String

    package var description: String { "history \(seed), step \(step): \(message)" }
}
