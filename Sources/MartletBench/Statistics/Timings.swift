// SPDX-License-Identifier: Apache-2.0

/// How long repeated runs of one thing took, in seconds.
public struct Timings: Sendable {
    public private(set) var seconds: [Double] = []

    public init() {}

    /// Runs `body` and adds how long it took.
    public mutating func measure<Result>(_ body: () throws -> Result) rethrows -> Result {
        let clock = ContinuousClock()
        let start = clock.now
        let result = try body()
        seconds.append((clock.now - start) / .seconds(1))
        return result
    }

    /// The same in shares, of one layer of several for example.
    public func scaled(by factor: Double) -> Timings {
        var result = Timings()
        result.seconds = seconds.map { $0 * factor }
        return result
    }

    /// The middle one, or the mean of the middle two; NaN of none.
    public var median: Double {
        let sorted = seconds.sorted()
        guard let last = sorted.indices.last else { return .nan }
        return (sorted[last / 2] + sorted[(last + 1) / 2]) / 2
    }

    public var minimum: Double { seconds.min() ?? .nan }
    public var maximum: Double { seconds.max() ?? .nan }
}
