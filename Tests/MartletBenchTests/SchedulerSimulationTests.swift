// SPDX-License-Identifier: Apache-2.0

import MartletBench
import Testing

@Suite struct SchedulerSimulationTests {
    /// `martlet check scheduler` runs as many as one likes.
    @Test func everyInvariantHolds() throws {
        let summary = try SchedulerSimulation.run(histories: 2000, firstSeed: 0)
        #expect(summary.histories == 2000)
        // All of it happened, often.
        #expect(summary.requests > 10_000 && summary.refused > 1000 && summary.cancelled > 1000)
        #expect(summary.failed > 1000 && summary.preemptions > 1000 && summary.cachedTokens > 10_000)
        #expect(summary.computedInVain > 1000)
    }

    @Test func aSeedBringsItsHistoryBack() throws {
        let first = try SchedulerSimulation.run(histories: 20, firstSeed: 77)
        #expect(try SchedulerSimulation.run(histories: 20, firstSeed: 77) == first)
        #expect(try SchedulerSimulation.run(histories: 20, firstSeed: 78) != first)
    }
}
