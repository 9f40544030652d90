// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing
import compare

@Suite struct CompareTests {
    @Test func workloadsAreParsed() {
        #expect(
            Workloads(argument: "prompt:512,answer:128,answer:32@4096,concurrent:16")?.values
                == [.prompt(512), .answer(128, depth: 0), .answer(32, depth: 4096), .concurrent(16)])
        for text in ["", "prompt", "prompt:0", "prompt:x", "answer:1", "answer:8@", "concurrent:9999", "talk:3"] {
            #expect(Workloads(argument: text) == nil, "\(text)")
        }
    }

    @Test func llamaBenchIsRead() {
        let line = #"{"n_prompt": 512, "n_gen": 0, "avg_ts": 2.0, "samples_ts": [ 123.5 ]}"#
        #expect(LlamaBench.rate(in: Data("warning\n\(line)\n".utf8)) == 123.5)
        #expect(LlamaBench.rate(in: Data("error\n".utf8)) == nil)
    }

    private struct Fixed: Contender {
        let name: String
        let rates: [Double]
        let calls = Calls()
        final class Calls: @unchecked Sendable { var count = 0 }

        func run(_ workload: Workload, prompts: [[Int32]]) async throws -> Double? {
            if case .concurrent = workload { return nil }
            defer { calls.count += 1 }
            return rates[calls.count]
        }

        func warmUp(_ workload: Workload, prompts: [[Int32]]) {}
    }

    /// What is measured isn't what begins.
    @Test func aContenderIsWarmBeforeItIsMeasured() async throws {
        let contender = Started()
        let results = try await Comparison(
            contenders: [contender], workloads: [.prompt(8)], rounds: 2, prompts: { _ in [] }
        ).run()
        #expect(results[0].contenders[0].tokensPerSecond == [2, 4])
    }

    /// Counts its runs.
    private actor Started: Contender {
        nonisolated let name = "started"
        private var count = 0.0

        func run(_ workload: Workload, prompts: [[Int32]]) async throws -> Double? {
            count += 1
            return count
        }
    }

    @Test func mediansAndRatiosOfInterleavedRounds() async throws {
        let contenders = [Fixed(name: "Martlet", rates: [30, 10, 20]), Fixed(name: "other", rates: [4, 5, 6])]
        let comparison = Comparison(
            contenders: contenders, workloads: [.prompt(8), .concurrent(2)], rounds: 3, prompts: { _ in [] })
        var order: [Int] = []
        let results = try await comparison.run { workload, contender, _ in
            if workload == .prompt(8) { order.append(contender) }
        }
        #expect(order == [0, 1, 1, 0, 0, 1])
        #expect(results[0].contenders.map(\.median) == [20, 5])
        #expect(results[0].ratios == ["other": 4])
        #expect(results[1].contenders.isEmpty)
        #expect(ComparisonResult.table(results).contains("4.00"))
    }
}
