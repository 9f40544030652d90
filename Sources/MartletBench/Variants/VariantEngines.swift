// SPDX-License-Identifier: Apache-2.0

public import Martlet

/// Engines of one model, a variant each, that are timed in turn.
public struct VariantEngines: Sendable {
    public let engines: [(variant: EngineVariant, engine: Engine)]

    public init(_ engines: [(variant: EngineVariant, engine: Engine)]) { self.engines = engines }

    /// Runs `body` on each engine in turn, again and again, each time beginning with another one, so that what the
    /// machine does meanwhile meets them alike.
    ///
    /// - Parameters:
    ///   - progress: called with the fraction of all runs done.
    ///   - body: seconds that a run took.
    public func time(
        warmup: Int, iterations: Int, progress: (Double) -> Void = { _ in },
        _ body: (_ engine: Engine, _ iteration: Int) async throws -> Double
    ) async throws -> [(variant: EngineVariant, timings: Timings)] {
        var timings = engines.map { _ in Timings() }
        let runs = (warmup + iterations) * engines.count
        for iteration in 0..<warmup + iterations {
            for place in engines.indices {
                let index = (place + iteration) % engines.count
                let seconds = try await body(engines[index].engine, iteration)
                if iteration >= warmup { timings[index].append(seconds) }
                progress(Double(iteration * engines.count + place + 1) / Double(runs))
            }
        }
        return zip(engines, timings).map { ($0.variant, $1) }
    }
}
