// SPDX-License-Identifier: Apache-2.0

public import Martlet
public import MartletAttention
public import MartletCompute

/// One of the ways of running a model that a benchmark holds against each other.
public struct EngineVariant: Hashable, Sendable {
    public let graphMode: GraphMode
    public let attentionLaunch: AttentionLaunch

    public init(graphMode: GraphMode, attentionLaunch: AttentionLaunch) {
        self.graphMode = graphMode
        self.attentionLaunch = attentionLaunch
    }

    public var name: String { "\(graphMode.rawValue) \(attentionLaunch.rawValue)" }

    /// Lists of one length give pairs; otherwise every mode goes with every launch.
    public static func all(_ modes: [GraphMode], _ launches: [AttentionLaunch]) -> [EngineVariant] {
        let pairs =
            modes.count == launches.count
            ? zip(modes, launches).map { ($0, $1) }
            : modes.flatMap { mode in launches.map { (mode, $0) } }
        var seen: Set<EngineVariant> = []
        return pairs.map { EngineVariant(graphMode: $0, attentionLaunch: $1) }.filter { seen.insert($0).inserted }
    }
}

/// What a variant took at one length.
public struct VariantResult: Sendable {
    public let variant: EngineVariant
    /// Tokens of the prompts, or of the long one.
    public let length: Int
    /// What was in the cache, where that is a part of the measurement.
    public let prefix: PrefixState?
    public let timings: Timings
}

/// Whether the cache holds a prompt's beginning when it comes.
public enum PrefixState: String, Sendable, CaseIterable {
    case cold, warm
}

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
