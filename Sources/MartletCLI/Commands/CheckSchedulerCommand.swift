// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import MartletBench

struct CheckSchedulerCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "scheduler", abstract: "Random histories of the scheduler, its invariants after each step.",
        discussion: """
            Requests with shared prompts and several samples arrive, are cancelled and fail, in a cache too small for \
            them. Each must get the answer it would have got alone. A history that goes wrong is named by its seed; \
            --histories 1 --seed SEED runs it again.
            """)

    @Option(parsing: .unconditional, help: "Histories to run.")
    var histories = 2000

    @Option(parsing: .unconditional, help: "Seed of the first one; the next ones count up.")
    var seed: UInt64 = 0

    func validate() throws {
        try require("--histories", histories, in: 1...1_000_000_000)
    }

    func run() throws {
        let bar = ProgressBar(title: "Histories")
        defer { bar.clear() }
        let clock = ContinuousClock()
        let start = clock.now
        let summary = try SchedulerSimulation.run(histories: histories, firstSeed: seed) {
            bar.show(Double($0) / Double(histories))
        }
        let seconds = (clock.now - start) / .seconds(1)
        bar.clear()
        var table = Table()
        table.add("histories", "\(summary.histories) (seeds \(seed) to \(seed &+ UInt64(histories - 1)))")
        table.add("steps", "\(summary.steps)")
        table.add("requests", "\(summary.requests), and \(summary.refused) that could never fit")
        table.add("tokens", "\(summary.tokens), and \(summary.cachedTokens) of prompts found in the cache")
        table.add("preemptions", "\(summary.preemptions)")
        table.add("shares of steps computed in vain", "\(summary.computedInVain)")
        table.add("cancelled, failed", "\(summary.cancelled), \(summary.failed)")
        table.add("seconds", String(format: "%.1f", seconds))
        Terminal.write(table.text + "every invariant held\n")
    }
}
