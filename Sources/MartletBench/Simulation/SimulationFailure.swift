// SPDX-License-Identifier: Apache-2.0

/// Something that must never happen, and the seed that makes it happen again.
public struct SimulationFailure: Error, Sendable, CustomStringConvertible {
    public let seed: UInt64
    public let step: Int
    public let message: String

    public var description: String { "history \(seed), step \(step): \(message)" }
}
