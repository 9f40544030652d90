// SPDX-License-Identifier: Apache-2.0

/// A head's key or value as a cache of int16 keeps it.
public struct Int16Head: Equatable, Sendable {
    public let values: [Int16]
    /// The number that 1 stands for; NaN where a number wasn't finite.
    public let unit: Float

    public static let largestOfKey: Float = 8191
    public static let largestOfValue: Float = 32_767

    /// - Parameter largest: the magnitude that the largest number gets.
    public init(rounding numbers: [Float], largest: Float) {
        let most = numbers.reduce(0) { max($0, $1.magnitude) }
        guard numbers.allSatisfy(\.isFinite) else {
            values = numbers.map { _ in 0 }
            unit = .nan
            return
        }
        let unit = most / largest
        // A product, as the kernels have it: a quotient may round to another number.
        let factor = unit < .leastNormalMagnitude ? 0 : 1 / unit
        values = numbers.map { Int16(($0 * factor).rounded(.toNearestOrEven)) }
        self.unit = unit
    }

    /// The numbers that the values stand for.
    public var numbers: [Float] { values.map { Float($0) * unit } }
}
