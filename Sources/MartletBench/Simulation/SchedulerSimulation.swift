// SPDX-License-Identifier: Apache-2.0

/// Random histories of the engine's scheduler and its blocks, without a model, a clock or threads.
///
/// After each step it is checked that blocks are neither lost nor given out twice, that no sequence reads another's cache,
/// that budgets hold and someone always gets on; at the end that every request got just the answer it would have got
/// alone. A failure names its seed, which brings it back.
package enum SchedulerSimulation {
    /// What happened, so that one can tell that something did.
    package struct Summary: Equatable, Sendable {
        package var histories = 0
        package var steps = 0
        package var requests = 0
        package var refused = 0
        package var cancelled = 0
        package var failed = 0
        package var tokens = 0
        package var preemptions = 0
        /// Shares of steps whose sequence had ended or lost its blocks when they ran.
        package var computedInVain = 0
        /// Prompt tokens found in the prefix cache.
        package var cachedTokens = 0

        static func += (left: inout Summary, right: Summary) {
            left.histories += right.histories
            left.steps += right.steps
            left.requests += right.requests
            left.refused += right.refused
            left.cancelled += right.cancelled
            left.failed += right.failed
            left.tokens += right.tokens
            left.preemptions += right.preemptions
            left.computedInVain += right.computedInVain
            left.cachedTokens += right.cachedTokens
        }
    }

    /// Runs the histories of seeds that follow each other.
    ///
    /// - Parameter progress: called now and then with the number done.
    package static func run(
        histories: Int, firstSeed: UInt64, progress: (Int) -> Void = { _ in }
    ) throws(SimulationFailure) -> Summary {
        var summary = Summary()
        for index in 0..<histories {
            var history = SchedulerHistory(seed: firstSeed &+ UInt64(index))
            try history.run()
            summary += history.summary
            if index % 100 == 99 { progress(index + 1) }
        }
        return summary
    }
}
