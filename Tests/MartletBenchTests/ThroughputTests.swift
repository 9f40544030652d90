// SPDX-License-Identifier: Apache-2.0

import Foundation
import Martlet
import MartletBench
import MartletCompute
import MartletTestSupport
import Testing

@Suite struct ThroughputTests {
    @Test func aBenchmarkCountsWhatItDid() async throws {
        let file = try TinyModel().write()
        var options = EngineOptions()
        options.threads = 1
        let engine = try await Engine.load(file.path, options: options)
        let workload = ThroughputWorkload.random(
            count: 5, inputLengths: [10, 33], outputLengths: [4, 1, 7], prefixLength: 16,
            vocabulary: engine.model.tokenizer.vocabulary, seed: 1)
        #expect(workload.requests.map(\.promptTokens.count) == [26, 49, 26, 49, 26])
        #expect(workload.requests.map(\.outputLength) == [4, 1, 7, 4, 1])
        #expect(Set(workload.requests.map { Array($0.promptTokens.prefix(16)) }).count == 1)
        let report = try await ThroughputBenchmark(workload, samples: 2).run(on: engine)
        #expect(report.numRequests == 5 && report.totalInputTokens == 176 && report.totalOutputTokens == 34)
        #expect(report.totalNumTokens == 210 && report.steps > 0)
        let tooLong = ThroughputWorkload.random(
            count: 1, inputLengths: [200], outputLengths: [57], vocabulary: engine.model.tokenizer.vocabulary, seed: 1)
        await #expect(throws: WorkloadError.self) { try await ThroughputBenchmark(tooLong).run(on: engine) }
        let json = try JSONSerialization.jsonObject(with: JSONEncoder().encode(report)) as? [String: Double]
        for key in ["elapsed_time", "num_requests", "total_num_tokens", "requests_per_second", "tokens_per_second"] {
            #expect(json?[key] ?? 0 > 0, "\(key)")
        }
    }

    @Test func percentilesAreThoseOfTheSet() {
        let times = Milliseconds((1...200).map { Double($0) / 1000 }.shuffled())
        #expect(times.percentile(50) == 100 && times.percentile(95) == 190 && times.percentile(100) == 200)
        #expect(abs((times.mean ?? 0) - 100.5) < 1e-9 && times.maximum == 200)
        #expect(Milliseconds([]).percentile(50) == nil && Milliseconds([]).mean == nil)
    }

    @Test func shareGPTFilesAreRead() async throws {
        let model = try TinyModel().write()
        let engine = try await Engine.load(model.path)
        let text = """
            [{"conversations": [{"from": "human", "value": "hello the world"}, {"from": "gpt", "value": "the answer"}]},
             {"conversations": [{"from": "human", "value": "alone"}]},
             {"conversations": [{"from": "human", "value": "x"}, {"from": "gpt", "value": "too short a question"}]}]
            """
        let file = try TemporaryFile(Array(text.utf8), name: "sharegpt.json")
        let tokenizer = engine.model.tokenizer
        let workload = try ThroughputWorkload.shareGPT(
            path: file.path, count: 10, outputLength: nil, tokenizer: tokenizer, seed: 0)
        #expect(workload.requests.count == 1)
        #expect(workload.requests[0].promptTokens == tokenizer.encode("hello the world"))
        #expect(workload.requests[0].outputLength == tokenizer.encode("the answer").count)
        for broken in ["{}", "[]", "", "[{}]"] {
            let file = try TemporaryFile(Array(broken.utf8))
            #expect(throws: (any Error).self) {
                try ThroughputWorkload.shareGPT(
                    path: file.path, count: 1, outputLength: nil, tokenizer: tokenizer, seed: 0)
            }
        }
    }

    /// A trace is valid JSON, names steps and kernels, and its parts add up.
    @Test func tracesSayWhatHappened() async throws {
        let model = try TinyModel().write()
        var options = EngineOptions()
        options.threads = 2
        let trace = TraceRecorder()
        options.trace = trace
        let engine = try await Engine.load(model.path, options: options)
        var sampling = SamplingParameters.greedy
        (sampling.maxTokens, sampling.ignoresEndTokens) = (30, true)
        _ = try await engine.generate(GenerationRequest(promptTokens: [1, 2, 3], sampling: sampling)).answers()
        await engine.stop()
        let breakdown = DecodeStepBreakdown(trace)
        #expect(breakdown.steps == 29)
        #expect(breakdown.kernels > 0 && breakdown.host > 0)
        #expect(abs(breakdown.kernels + breakdown.betweenKernels + breakdown.host - breakdown.total) < 1e-6)
        let file = try TemporaryFile([], name: "trace.json")
        try trace.write(to: file.path)
        let data = try Data(contentsOf: URL(filePath: file.path))
        let events = try #require(try JSONSerialization.jsonObject(with: data) as? [[String: Any]])
        let names = Set(events.compactMap { $0["name"] as? String })
        for name in ["step", "schedule", "prepare", "plan attention", "run FULL", "update", "attention", "sample"] {
            #expect(names.contains(name), "\(name)")
        }
        let lanes = events.filter { $0["name"] as? String == "thread_name" }
        // The engine's, and one of each worker.
        #expect(lanes.count == 3)
        #expect(events.count { $0["name"] as? String == "step" } == 30)
        #expect(throws: TraceError.self) { try trace.write(to: "/nowhere/trace.json") }
    }

    @Test func aFullTraceDropsAndCounts() {
        let trace = TraceRecorder(capacity: 2)
        let (lane, name) = (trace.lane(named: "one"), trace.name("x"))
        for time in 0..<5 as Range<UInt64> { lane.record(name, start: time, end: time + 1) }
        #expect(trace.droppedCount == 3 && trace.spans(ofLanes: "one").count == 2)
    }
}
