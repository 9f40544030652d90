// SPDX-License-Identifier: Apache-2.0

import Foundation
import MartletCompute

/// When requests set out: a Poisson process, or a burstier or steadier one, perhaps with a rate that grows.
///
/// Gaps are drawn from a gamma distribution of shape `burstiness`, as vLLM does it: 1 is Poisson, less is burstier, more
/// is steadier.
package struct ArrivalProcess: Sendable {
    package enum Ramp: String, Sendable, CaseIterable { case linear, exponential }

    /// Requests a second; infinite sends all at once.
    package var rate: Double
    package var burstiness: Double
    /// From one rate to another over all requests, in place of `rate`.
    package var ramp: (shape: Ramp, start: Double, end: Double)?

    package init(rate: Double = .infinity, burstiness: Double = 1) {
        self.rate = rate
        self.burstiness = burstiness
    }

    /// Seconds from the start at which each request sets out, ascending.
    package func times(count: Int, seed: UInt64) -> [Double] {
        var random = ReplayableRandom(seed: seed)
        var (times, time) = ([Double](), 0.0)
        for index in 0..<count {
            let rate = rate(at: count > 1 ? Double(index) / Double(count - 1) : 0)
            if rate.isFinite { time += Self.gamma(burstiness, &random) / (rate * burstiness) }
            times.append(time)
        }
        // The draws decide the gaps' proportions, the rate their sum: a small sample has the asked rate too.
        guard ramp == nil, rate.isFinite, time > 0 else { return times }
        let scale = Double(count) / rate / time
        guard scale.isFinite else { return times }
        return times.map { $0 * scale }
    }

    private func rate(at fraction: Double) -> Double {
        guard let ramp else { return rate }
        switch ramp.shape {
        case .linear: return ramp.start + (ramp.end - ramp.start) * fraction
        case .exponential: return ramp.start * pow(ramp.end / ramp.start, fraction)
        }
    }

    /// Marsaglia and Tsang, 2000. Scale 1.
    private static func gamma(_ shape: Double, _ random: inout ReplayableRandom) -> Double {
        guard shape >= 1 else {
            return gamma(shape + 1, &random) * pow(Double.random(in: .ulpOfOne..<1, using: &random), 1 / shape)
        }
        let d = shape - 1.0 / 3
        let c = 1 / (9 * d).squareRoot()
        while true {
            let (u, v) = (Double.random(in: .ulpOfOne..<1, using: &random), Double.random(in: 0..<1, using: &random))
            let normal = (-2 * log(u)).squareRoot() * cos(2 * .pi * v)
            let cube = pow(1 + c * normal, 3)
            guard cube > 0 else { continue }
            let uniform = Double.random(in: .ulpOfOne..<1, using: &random)
            if log(uniform) < normal * normal / 2 + d - d * cube + d * log(cube) { return d * cube }
        }
    }
}

/// What became of one request, in seconds from the benchmark's start.
package struct ServingOutcome: Sendable {
    package var start: Double
    /// When pieces of its answer came.
    package var times: [Double] = []
    package var inputTokens: Int
    package var outputTokens = 0
    package var text = ""
    /// nil where it was answered.
    package var error: String?

    package init(start: Double, inputTokens: Int) {
        self.start = start
        self.inputTokens = inputTokens
    }

    package var timeToFirstToken: Double? { times.first.map { $0 - start } }
    package var interTokenLatencies: [Double] { zip(times.dropFirst(), times).map { $0 - $1 } }
    package var endToEndLatency: Double? { times.last.map { $0 - start } }

    /// Mean time of the tokens after the first.
    package var timePerOutputToken: Double? {
        guard let first = times.first, let last = times.last, outputTokens > 1 else { return nil }
        return (last - first) / Double(outputTokens - 1)
    }
}

/// Sends requests when their time has come, and no more at once than allowed.
package struct ServingBenchmark: Sendable {
    package var maxConcurrency: Int?

    package init(maxConcurrency: Int? = nil) { self.maxConcurrency = maxConcurrency }

    /// - Parameters:
    ///   - times: when each request sets out, ascending.
    ///   - send: asks the server; gets the request's index and the benchmark's start.
    ///   - progress: called with the number of requests that are done.
    /// - Returns: outcomes in the order of requests, and the seconds that all took.
    package func run(
        times: [Double], send: @escaping @Sendable (Int, ContinuousClock.Instant) async -> ServingOutcome,
        progress: (Int) -> Void = { _ in }
    ) async throws -> (outcomes: [ServingOutcome], seconds: Double) {
        let start = ContinuousClock.now
        var outcomes = [ServingOutcome?](repeating: nil, count: times.count)
        try await withThrowingTaskGroup(of: (Int, ServingOutcome).self) { group in
            var (open, done) = (0, 0)
            func take() async throws {
                guard let (index, outcome) = try await group.next() else { return }
                outcomes[index] = outcome
                (open, done) = (open - 1, done + 1)
                progress(done)
            }
            for (index, time) in times.enumerated() {
                if open >= maxConcurrency ?? .max { try await take() }
                let due = start + .seconds(time)
                if due > .now { try await Task.sleep(until: due, clock: .continuous) }
                group.addTask { (index, await send(index, start)) }
                open += 1
            }
            while open > 0 { try await take() }
        }
        return (outcomes.compactMap(\.self), (ContinuousClock.now - start) / .seconds(1))
    }
}
