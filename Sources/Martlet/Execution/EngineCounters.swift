// SPDX-License-Identifier: Apache-2.0

import MartletCompute
package import Synchronization

/// What the engine's thread lets others see of itself while it works, without a lock.
package final class EngineCounters: Sendable {

    package init() {}
    /// Turns of the engine's thread: who watches them sees whether it gets on.
    let beats = Atomic<Int>(0)
    /// Requests that were accepted and haven't ended, and the tokens of their prompts.
    package let requests = Atomic<Int>(0)
    let requestedPromptTokens = Atomic<Int>(0)

    package let steps = Atomic<Int>(0)
    /// Those of them that ran as one graph, and as pieces of one.
    let fullGraphSteps = Atomic<Int>(0)
    let piecewiseGraphSteps = Atomic<Int>(0)
    let running = Atomic<Int>(0)
    let waiting = Atomic<Int>(0)
    let freeBlocks = Atomic<Int>(0)
    let preemptions = Atomic<Int>(0)
    let prefixCacheQueries = Atomic<Int>(0)
    let prefixCacheHits = Atomic<Int>(0)
    let promptTokens = Atomic<Int>(0)
    let generatedTokens = Atomic<Int>(0)
    package let failedRequests = Atomic<Int>(0)
    /// See `ComputedWork`.
    let computedTokens = Atomic<Int>(0)
    let logitRows = Atomic<Int>(0)
    let attendedPairs = Atomic<Int>(0)
    let readTokens = Atomic<Int>(0)
    let attentionLaunches = Atomic<Int>(0)
    /// Steps by the tokens that they computed, see `EngineStatistics.stepTokenBounds`.
    private let stepsByTokens: InlineArray<14, Atomic<Int>> = InlineArray { _ in Atomic(0) }

    /// Steps by number of tokens: those above the bound before and up to each bound, then those above the last.
    var stepTokenCounts: [Int] { stepsByTokens.indices.map { stepsByTokens[$0].load(ordering: .relaxed) } }

    func count(_ plan: StepPlan, logitRows rows: Int) {
        var (pairs, read) = (0, 0)
        for entry in plan.entries {
            let (context, count) = (entry.positions.lowerBound, entry.tokenCount)
            pairs += count * context + count * (count + 1) / 2
            read += context + count
        }
        computedTokens.wrappingAdd(plan.tokenCount, ordering: .relaxed)
        let bounds = EngineStatistics.stepTokenBounds
        let bucket = bounds.firstIndex { plan.tokenCount <= $0 } ?? bounds.count
        stepsByTokens[bucket].wrappingAdd(1, ordering: .relaxed)
        attendedPairs.wrappingAdd(pairs, ordering: .relaxed)
        readTokens.wrappingAdd(read, ordering: .relaxed)
        logitRows.wrappingAdd(rows, ordering: .relaxed)
    }

    func count(_ step: GraphRuntimeMode, attentionLaunches launches: Int) {
        steps.wrappingAdd(1, ordering: .relaxed)
        attentionLaunches.wrappingAdd(launches, ordering: .relaxed)
        switch step {
        case .none: break
        case .piecewise: piecewiseGraphSteps.wrappingAdd(1, ordering: .relaxed)
        case .full: fullGraphSteps.wrappingAdd(1, ordering: .relaxed)
        }
    }

    func publish(_ scheduler: borrowing Scheduler) {
        running.store(scheduler.running.count, ordering: .relaxed)
        waiting.store(scheduler.waitingCount, ordering: .relaxed)
        freeBlocks.store(scheduler.pool.freeCount, ordering: .relaxed)
        preemptions.store(scheduler.statistics.preemptions, ordering: .relaxed)
        prefixCacheQueries.store(scheduler.statistics.prefixCacheQueries, ordering: .relaxed)
        prefixCacheHits.store(scheduler.statistics.prefixCacheHits, ordering: .relaxed)
        promptTokens.store(scheduler.statistics.promptTokens, ordering: .relaxed)
        generatedTokens.store(scheduler.statistics.generatedTokens, ordering: .relaxed)
        beats.wrappingAdd(1, ordering: .relaxed)
    }
}
