// SPDX-License-Identifier: Apache-2.0

import Foundation
import MartletBench
import Synchronization
import Testing

@Suite struct ServingTests {
    @Test func arrivalsHaveTheRateAndTheBurstinessThatWereAsked() {
        #expect(ArrivalProcess().times(count: 3, seed: 1) == [0, 0, 0])
        for burstiness in [0.3, 1, 8] {
            let times = ArrivalProcess(rate: 50, burstiness: burstiness).times(count: 4000, seed: 9)
            #expect(times == times.sorted() && abs((times.last ?? 0) - 80) < 1e-6)
            let gaps = zip(times.dropFirst(), times).map { $0 - $1 }
            let mean = gaps.reduce(0, +) / Double(gaps.count)
            let variance = gaps.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(gaps.count)
            // A gamma distribution's variance is the square of its mean over its shape.
            #expect(abs(variance / (mean * mean) * burstiness - 1) < 0.2, "\(burstiness)")
        }
        var ramp = ArrivalProcess()
        for shape in ArrivalProcess.Ramp.allCases {
            ramp.ramp = (shape, 1, 100)
            let times = ramp.times(count: 1000, seed: 2)
            #expect(times[100] - times[0] > 5 * (times[999] - times[899]))
        }
    }

    private func outcome(_ start: Double, _ times: [Double], tokens: Int? = nil, error: String? = nil) -> ServingOutcome
    {
        var outcome = ServingOutcome(start: start, inputTokens: 10)
        (outcome.times, outcome.outputTokens, outcome.error) = (times, tokens ?? times.count, error)
        return outcome
    }

    @Test func figuresAreVLLMs() throws {
        var report = ServingReport(
            outcomes: [
                outcome(0, [1, 1.5, 2]), outcome(0.5, [1.5]), outcome(1, [2, 2.25], tokens: 6),
                outcome(1, [], error: "refused"),
            ], seconds: 4, goodput: [.ttft: 1000, .itl: 400])
        report.settings = [("backend", .text("openai")), ("max_concurrency", .none)]
        let json = try JSONEncoder().encode(report.json(measures: [.ttft], percentiles: [50, 99.9], isDetailed: true))
        let figures = try #require(JSONSerialization.jsonObject(with: json) as? [String: Any])
        func number(_ name: String) -> Double? { figures[name] as? Double }
        #expect(number("completed") == 3 && number("failed") == 1 && number("duration") == 4)
        #expect(number("total_input_tokens") == 30 && number("total_output_tokens") == 10)
        #expect(
            number("request_throughput") == 0.75 && number("output_throughput") == 2.5
                && number("total_token_throughput") == 10)
        #expect(number("mean_ttft_ms") == 1000 && number("p50_ttft_ms") == 1000 && number("p99.9_ttft_ms") == 1000)
        #expect(number("mean_tpot_ms") == 275 && number("p50_tpot_ms") == nil)
        #expect(number("median_itl_ms") == 500 && number("mean_e2el_ms") == 4250.0 / 3)
        // The first took 500 ms between two tokens.
        #expect(number("request_goodput") == 0.5)
        #expect(number("max_concurrent_requests") == 3 && number("max_output_tokens_per_s") == 3)
        #expect(
            (figures["errors"] as? [String]) == ["", "", "", "refused"]
                && (figures["itls"] as? [[Double]])?.first == [0.5, 0.5])
        #expect(figures["backend"] as? String == "openai" && figures["max_concurrency"] is NSNull)
    }

    private final class Open: Sendable { let state = Mutex((now: 0, most: 0)) }

    @Test func noMoreAreOpenThanAllowed() async throws {
        let open = Open()
        let (outcomes, _) = try await ServingBenchmark(maxConcurrency: 3).run(
            times: Array(repeating: 0, count: 20),
            send: { index, _ in
                open.state.withLock {
                    $0.now += 1
                    $0.most = max($0.most, $0.now)
                }
                try? await Task.sleep(for: .milliseconds(5))
                open.state.withLock { $0.now -= 1 }
                return ServingOutcome(start: Double(index), inputTokens: 1)
            })
        #expect(outcomes.map(\.start) == (0..<20).map(Double.init))
        #expect(open.state.withLock { $0.most } == 3)
    }
}
