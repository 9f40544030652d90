// SPDX-License-Identifier: Apache-2.0

/// How long repeated runs of one thing took, in seconds.
package struct Timings: Sendable {
    package private(set) var seconds: [Double] = []

    package init() {}

    /// Runs `body` and adds how long it took.
    package mutating func measure<Result>(_ body: () throws -> Result) rethrows -> Result {
        let clock = ContinuousClock()
        let start = clock.now
        let result = try body()
        append((clock.now - start) / .seconds(1))
        return result
    }

    package mutating func append(_ time: Double) { seconds.append(time) }

    /// The same in shares, of one layer of several for example.
    package func scaled(by factor: Double) -> Timings {
        var result = Timings()
        result.seconds = seconds.map { $0 * factor }
        return result
    }

    /// The middle one, or the mean of the middle two; NaN of none.
    package var median: Double { quantile(0.5) }

    /// The value below which a fraction of them lies, on a straight line between two of them; NaN of none.
    package func quantile(_ fraction: Double) -> Double {
        let sorted = seconds.sorted()
        guard let last = sorted.indices.last else { return .nan }
        let rank = fraction * Double(last)
        let lower = min(max(Int(rank), 0), last)
        let upper = min(lower + 1, last)
        return sorted[lower] + (sorted[upper] - sorted[lower]) * (rank - Double(lower))
    }

    package var mean: Double { seconds.isEmpty ? .nan : seconds.reduce(0, +) / Double(seconds.count) }

    /// That of the whole population, not of a sample.
    package var standardDeviation: Double {
        let mean = mean
        return (seconds.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(seconds.count)).squareRoot()
    }

    package var minimum: Double { seconds.min() ?? .nan }
    package var maximum: Double { seconds.max() ?? .nan }
}
