// SPDX-License-Identifier: Apache-2.0

package import Martlet
import Synchronization

/// How much an engine gets done when all requests are there from the start.
package struct ThroughputBenchmark: Sendable {
    package let workload: ThroughputWorkload
    /// Samples of each request.
    package let samples: Int
    package let seed: UInt64

    package init(_ workload: ThroughputWorkload, samples: Int = 1, seed: UInt64 = 0) {
        self.workload = workload
        self.samples = samples
        self.seed = seed
    }

    /// - Parameter progress: called with the fraction of all answers' tokens that is there.
    package func run(
        on engine: Engine, progress: @escaping @Sendable (Double) -> Void = { _ in }
    ) async throws -> ThroughputReport {
        for request in workload.requests
        where request.promptTokens.count + request.outputLength > engine.model.maxModelLength {
            throw WorkloadError(
                description:
                    "a request of \(request.promptTokens.count) tokens with an answer of \(request.outputLength) "
                    + "doesn't fit the context of \(engine.model.maxModelLength)")
        }
        guard (1...4096).contains(samples) else {
            throw WorkloadError(description: "a prompt has 1 to 4096 answers, not \(samples)")
        }
        let done = ProgressCount(of: samples * workload.requests.reduce(0) { $0 + $1.outputLength })
        let before = engine.statistics
        let clock = ContinuousClock()
        let start = clock.now
        let streams = try workload.requests.map { try engine.generate(request($0)) }
        let outcomes = try await withThrowingTaskGroup(of: Outcome.self) { group in
            for stream in streams {
                group.addTask {
                    try await Self.read(stream, since: start) { count in
                        if let percent = done.add(count) { progress(Double(percent) / 100) }
                    }
                }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        let seconds = (clock.now - start) / .seconds(1)
        let after = engine.statistics
        let outputTokens = outcomes.reduce(0) { $0 + $1.tokens }
        let inputTokens = workload.requests.reduce(0) { $0 + $1.promptTokens.count }
        return ThroughputReport(
            elapsedTime: seconds, numRequests: workload.requests.count, totalNumTokens: inputTokens + outputTokens,
            requestsPerSecond: Double(workload.requests.count) / seconds,
            tokensPerSecond: Double(inputTokens + outputTokens) / seconds, totalInputTokens: inputTokens,
            totalOutputTokens: outputTokens, outputThroughput: Double(outputTokens) / seconds,
            timeToFirstToken: Milliseconds(outcomes.map(\.firstToken)),
            interTokenLatency: Milliseconds(outcomes.flatMap(\.gaps)), steps: after.steps - before.steps,
            preemptions: after.preemptions - before.preemptions,
            prefixCacheHits: after.prefixCacheHits - before.prefixCacheHits, work: after.work - before.work)
    }

    private func request(_ request: ThroughputWorkload.Request) -> GenerationRequest {
        var sampling = SamplingParameters()
        sampling.n = samples
        sampling.seed = seed
        sampling.maxTokens = request.outputLength
        sampling.ignoresEndTokens = true
        return GenerationRequest(promptTokens: request.promptTokens, sampling: sampling)
    }

    /// Times in seconds.
    private struct Outcome: Sendable {
        var tokens = 0
        var firstToken = 0.0
        var gaps: [Double] = []
    }

    /// Counts tokens, and says when another hundredth of them is there.
    private final class ProgressCount: Sendable {
        private let total: Int
        private let tokens = Atomic<Int>(0)
        private let shown = Atomic<Int>(0)

        init(of total: Int) { self.total = max(1, total) }

        func add(_ count: Int) -> Int? {
            let percent = tokens.wrappingAdd(count, ordering: .relaxed).newValue * 100 / total
            return shown.max(percent, ordering: .relaxed).oldValue < percent ? percent : nil
        }
    }

    private static func read(
        _ stream: GenerationStream, since start: ContinuousClock.Instant, report: (Int) -> Void
    ) async throws -> Outcome {
        var outcome = Outcome()
        var last: [Int: ContinuousClock.Instant] = [:]
        for try await piece in stream {
            for time in piece.times {
                if outcome.tokens == 0 { outcome.firstToken = (time - start) / .seconds(1) }
                outcome.tokens += 1
                if let last = last[piece.sample] { outcome.gaps.append((time - last) / .seconds(1)) }
                last[piece.sample] = time
            }
            report(piece.tokens.count)
        }
        return outcome
    }
}

/// Figures under vLLM's names, and some of our own.
package struct ThroughputReport: Encodable, Sendable {
    package var elapsedTime: Double
    package var numRequests: Int
    package var totalNumTokens: Int
    package var requestsPerSecond: Double
    /// Tokens of prompts and answers.
    package var tokensPerSecond: Double
    package var totalInputTokens: Int
    package var totalOutputTokens: Int
    package var outputThroughput: Double
    /// From the start of all requests, so time in the queue counts.
    package var timeToFirstToken: Milliseconds
    package var interTokenLatency: Milliseconds
    package var steps: Int
    package var preemptions: Int
    /// Prompt tokens.
    package var prefixCacheHits: Int
    package var work: ComputedWork
    /// Beside what the machine could do, if that was measured.
    package var share: LimitShare?

    private enum Key: String, CodingKey {
        case elapsedTime = "elapsed_time"
        case numRequests = "num_requests"
        case totalNumTokens = "total_num_tokens"
        case requestsPerSecond = "requests_per_second"
        case tokensPerSecond = "tokens_per_second"
        case totalInputTokens = "total_input_tokens"
        case totalOutputTokens = "total_output_tokens"
        case outputThroughput = "output_throughput"
        case meanTTFT = "mean_ttft_ms"
        case medianTTFT = "median_ttft_ms"
        case p95TTFT = "p95_ttft_ms"
        case p99TTFT = "p99_ttft_ms"
        case meanITL = "mean_itl_ms"
        case medianITL = "median_itl_ms"
        case p95ITL = "p95_itl_ms"
        case p99ITL = "p99_itl_ms"
        case maxITL = "max_itl_ms"
        case steps
        case preemptions = "num_preemptions"
        case prefixCacheHits = "prefix_cache_hits"
        case share = "of_limits"
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: Key.self)
        try container.encode(elapsedTime, forKey: .elapsedTime)
        try container.encode(numRequests, forKey: .numRequests)
        try container.encode(totalNumTokens, forKey: .totalNumTokens)
        try container.encode(requestsPerSecond, forKey: .requestsPerSecond)
        try container.encode(tokensPerSecond, forKey: .tokensPerSecond)
        try container.encode(totalInputTokens, forKey: .totalInputTokens)
        try container.encode(totalOutputTokens, forKey: .totalOutputTokens)
        try container.encode(outputThroughput, forKey: .outputThroughput)
        // Where every answer has one token, there is nothing between two.
        try container.encodeIfPresent(timeToFirstToken.mean, forKey: .meanTTFT)
        try container.encodeIfPresent(timeToFirstToken.percentile(50), forKey: .medianTTFT)
        try container.encodeIfPresent(timeToFirstToken.percentile(95), forKey: .p95TTFT)
        try container.encodeIfPresent(timeToFirstToken.percentile(99), forKey: .p99TTFT)
        try container.encodeIfPresent(interTokenLatency.mean, forKey: .meanITL)
        try container.encodeIfPresent(interTokenLatency.percentile(50), forKey: .medianITL)
        try container.encodeIfPresent(interTokenLatency.percentile(95), forKey: .p95ITL)
        try container.encodeIfPresent(interTokenLatency.percentile(99), forKey: .p99ITL)
        try container.encodeIfPresent(interTokenLatency.maximum, forKey: .maxITL)
        try container.encode(steps, forKey: .steps)
        try container.encode(preemptions, forKey: .preemptions)
        try container.encode(prefixCacheHits, forKey: .prefixCacheHits)
        try container.encodeIfPresent(share, forKey: .share)
    }
}

/// A set of durations, for their statistics.
package struct Milliseconds: Sendable {
    private let sorted: [Double]

    package init(_ seconds: [Double]) { sorted = seconds.map { $0 * 1e3 }.sorted() }

    /// nil of none.
    package var mean: Double? { sorted.isEmpty ? nil : sorted.reduce(0, +) / Double(sorted.count) }

    /// The smallest value that `percent` of them don't exceed; nil where there are none.
    package func percentile(_ percent: Double) -> Double? {
        guard !sorted.isEmpty else { return nil }
        let rank = Int((percent / 100 * Double(sorted.count)).rounded(.up))
        return sorted[min(max(rank, 1), sorted.count) - 1]
    }

    package var maximum: Double? { sorted.last }
}
