// SPDX-License-Identifier: Apache-2.0

import CMartletKernels
import Glibc
package import MartletCompute

/// Computed in f64 once a step and shared by all layers.
///
/// A position's angles are those of the multiple of 64 before it plus those of what is left, by the sum's formulas: rows
/// that follow each other share the first, all steps the second. Positions alone decide how an angle is computed.
package struct RotaryAngleRows: RowOperation {
    package typealias Angle = (cosine: Double, sine: Double)
    private static let nearCount = 64
    private static let largestCount = Int(MARTLET_MAX_HEAD_SIZE) / 2
    /// Room for the largest head's.
    private typealias PairAngles = InlineArray<128, Angle>

    let name = "rotary angles"
    private let inverseFrequencies: [Double]
    private let magnitude: Double
    private let near: [Angle]
    private let output: TensorRows

    /// - Parameter near: `nearAngles` of the same frequencies.
    package init(inverseFrequencies: [Double], magnitude: Double, near: [Angle], output: TensorRows) {
        precondition(inverseFrequencies.count <= Self.largestCount, "a head is larger than the largest")
        precondition(near.count == Self.nearCount * inverseFrequencies.count, "angles of other frequencies")
        self.inverseFrequencies = inverseFrequencies
        self.magnitude = magnitude
        self.near = near
        self.output = output
    }

    static func check(_ inverseFrequencies: [Double]) throws(DeviceError) {
        guard inverseFrequencies.count <= largestCount else {
            throw DeviceError(
                code: .unsupported,
                message: "\(2 * inverseFrequencies.count) rotary dimensions; \(2 * largestCount) are the most")
        }
    }

    /// cos and sin of the first positions' angles, `[nearCount][pairs]`.
    static func nearAngles(_ inverseFrequencies: [Double]) -> [Angle] {
        (0..<nearCount).flatMap { position in
            inverseFrequencies.map { (cos(Double(position) * $0), sin(Double(position) * $0)) }
        }
    }

    package func run(rows: Range<Int>, batch: BatchBuffers) {
        let pairs = inverseFrequencies.count
        var far = PairAngles(repeating: (1, 0))
        var start = 0
        for row in rows {
            let offset = Int(batch.positions[row]) % Self.nearCount
            if start != Int(batch.positions[row]) - offset {
                start = Int(batch.positions[row]) - offset
                for (pair, frequency) in inverseFrequencies.enumerated() {
                    far[pair] = (cos(Double(start) * frequency), sin(Double(start) * frequency))
                }
            }
            let angles = output.row(row)
            for pair in 0..<pairs {
                let (a, b) = (far[pair], near[offset * pairs + pair])
                angles[pair] = Float((a.cosine * b.cosine - a.sine * b.sine) * magnitude)
                angles[pairs + pair] = Float((a.sine * b.cosine + a.cosine * b.sine) * magnitude)
            }
        }
    }
}
