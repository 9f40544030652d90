// SPDX-License-Identifier: Apache-2.0

/// A head's key or value as a cache of int16 keeps it.
package struct Int16Head: Equatable, Sendable {
    package let values: [Int16]
    /// The number that 1 stands for; NaN where a number wasn't finite.
    package let unit: Float

    package static let largestOfKey: Float = 8191
    package static let largestOfValue: Float = 32_767

    /// - Parameter largest: the magnitude that the largest number gets.
    package init(rounding numbers: [Float], largest: Float) {
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
    package var numbers: [Float] { values.map { Float($0) * unit } }
}
