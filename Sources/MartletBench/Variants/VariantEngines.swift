// SPDX-License-Identifier: Apache-2.0

package import Martlet

/// Engines of one model, a variant each, that are timed in turn.
package struct VariantEngines: Sendable {
    package let engines: [(variant: EngineVariant, engine: Engine)]

    package init(_ engines: [(variant: EngineVariant, engine: Engine)]) { self.engines = engines }

    /// What a variant took, and the share of the machine's limits that this was.
    package struct Run: Sendable {
        package let variant: EngineVariant
        package fileprivate(set) var timings = Timings()
        package fileprivate(set) var share: LimitShare?
        fileprivate var work = ComputedWork()
    }

    /// Runs `body` on each engine in turn, again and again, each time beginning with another one, so that what the
    /// machine does meanwhile meets them alike.
    ///
    /// - Parameters:
    ///   - limits: sampled after each run.
    ///   - progress: called with the fraction of all runs done.
    package func time(
        warmup: Int, iterations: Int, limits: LimitsBenchmark? = nil, progress: (Double) -> Void = { _ in },
        _ body: (_ engine: Engine, _ iteration: Int) async throws -> ThroughputReport
    ) async throws -> [Run] {
        var runs = engines.map { Run(variant: $0.variant) }
        let count = (warmup + iterations) * engines.count
        for iteration in 0..<warmup + iterations {
            for turn in engines.indices {
                let index = (turn + iteration) % engines.count
                await settle()
                let report = try await body(engines[index].engine, iteration)
                if iteration >= warmup {
                    runs[index].timings.append(report.elapsedTime)
                    runs[index].work = runs[index].work + report.work
                    if let limits {
                        await settle()
                        limits.sample()
                    }
                }
                progress(Double(iteration * engines.count + turn + 1) / Double(count))
            }
        }
        guard let limits else { return runs }
        for index in runs.indices {
            runs[index].share = LimitShare(
                runs[index].work, of: engines[index].engine.model, seconds: runs[index].timings.seconds.reduce(0, +),
                limits: limits.limits)
        }
        return runs
    }

    /// What one engine does for requests to come would take another's time.
    private func settle() async {
        for engine in engines { await engine.engine.settle() }
    }
}
