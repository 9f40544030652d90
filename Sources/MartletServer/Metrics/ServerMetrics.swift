// SPDX-License-Identifier: Apache-2.0

import Martlet
import Synchronization

/// What the server counts of its requests, and all metrics together under vLLM's names.
final class ServerMetrics: Sendable {
    let timeToFirstToken = Histogram([
        0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640,
        2560,
    ])
    let interTokenLatency = Histogram(ServerMetrics.tokenSeconds)
    let timePerOutputToken = Histogram(ServerMetrics.tokenSeconds)
    let endToEndLatency = Histogram(ServerMetrics.requestSeconds)
    let queueTime = Histogram(ServerMetrics.requestSeconds)
    let inferenceTime = Histogram(ServerMetrics.requestSeconds)
    let prefillTime = Histogram(ServerMetrics.requestSeconds)
    let decodeTime = Histogram(ServerMetrics.requestSeconds)
    let promptTokens: Histogram
    let generationTokens: Histogram
    let maxNumGenerationTokens: Histogram
    let maxTokensParameter: Histogram
    let nParameter = Histogram([1, 2, 5, 10, 20])
    private let counts = Mutex(Counts())

    private struct Counts {
        var finished: [String: Int] = [:]
        /// By route, method and status.
        var answered: [[String]: Int] = [:]
        var disconnected = 0
    }

    private static let tokenSeconds = [
        0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80,
    ]
    private static let requestSeconds = [
        0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680,
    ]

    init(maxModelLength: Int) {
        let bounds = Histogram.counts(upTo: maxModelLength)
        promptTokens = Histogram(bounds)
        generationTokens = Histogram(bounds)
        maxNumGenerationTokens = Histogram(bounds)
        maxTokensParameter = Histogram(bounds)
    }

    func countFinished(_ reason: String) { counts.withLock { $0.finished[reason, default: 0] += 1 } }
    func countDisconnected() { counts.withLock { $0.disconnected += 1 } }

    /// - Parameter route: the pattern that matched, never what a client wrote.
    func countAnswered(route: String, method: String, status: Int) {
        counts.withLock { $0.answered[[route, method, "\(status)"], default: 0] += 1 }
    }

    /// All metrics with their present values. Long, because it is their table: a line or two for each.
    ///
    /// - Parameters:
    ///   - engine: nil while the model is loaded.
    ///   - isReady: whether requests are served.
    ///   - stuckTexts: threads whose text work was abandoned.
    func collect(_ engine: EngineStatistics?, _ model: LoadedModel?, isReady: Bool = false, stuckTexts: Int = 0)
        -> [Metric]
    {
        let counts = counts.withLock { $0 }
        let steps = engine.map { Histogram.Contents(counts: $0.stepTokenCounts, sum: Double($0.work.tokens)) }
        let stepBounds = EngineStatistics.stepTokenBounds.map(Double.init)
        let usage = engine.map { $0.blocks > 0 ? 1 - Double($0.freeBlocks) / Double($0.blocks) : 0 }
        return [
            .gauge("vllm:num_requests_running", "Requests that are computed now.", Double(engine?.running ?? 0)),
            .gauge("vllm:num_requests_waiting", "Requests that wait to be computed.", Double(engine?.waiting ?? 0)),
            .gauge("vllm:kv_cache_usage_perc", "Part of the KV cache's blocks that is held; 1 is all.", usage ?? 0),
            Metric(
                name: "vllm:cache_config_info", kind: .gauge, help: "How the KV cache is laid out; always 1.",
                labels: ["block_size", "cache_dtype", "num_gpu_blocks"],
                samples: model.map { model in
                    [
                        Metric.Sample(
                            labels: [
                                ("block_size", "\(model.blockSize)"),
                                ("cache_dtype", model.cacheFormat.rawValue),
                                ("num_gpu_blocks", "\(model.cacheBlocks)"),
                            ], value: 1)
                    ]
                } ?? []),
            .counter(
                "vllm:prefix_cache_queries", "Prompt tokens that were looked for in the prefix cache.",
                engine?.prefixCacheQueries ?? 0),
            .counter("vllm:prefix_cache_hits", "Prompt tokens that were found in it.", engine?.prefixCacheHits ?? 0),
            .counter("vllm:num_preemptions", "Sequences that had to give their blocks back.", engine?.preemptions ?? 0),
            .counter("vllm:prompt_tokens", "Prompt tokens of requests that were computed.", engine?.promptTokens ?? 0),
            .counter("vllm:generation_tokens", "Tokens of answers.", engine?.generatedTokens ?? 0),
            .counter(
                "vllm:request_success", "Requests that ended, by why.", by: ["finished_reason"],
                ["stop", "length", "abort"].map { (values: [$0], count: counts.finished[$0] ?? 0) }),
            .counter("vllm:corrupted_requests", "Requests that ended in an error.", engine?.failedRequests ?? 0),
            .histogram(
                "vllm:iteration_tokens_total", "Tokens of a step.", stepBounds,
                steps ?? Histogram.Contents(counts: Array(repeating: 0, count: stepBounds.count + 1))),
            .histogram("vllm:time_to_first_token_seconds", "From a request to its first token.", timeToFirstToken),
            .histogram("vllm:inter_token_latency_seconds", "Between two tokens of an answer.", interTokenLatency),
            .histogram(
                "vllm:request_time_per_output_token_seconds", "Mean of that, one a request.", timePerOutputToken),
            .histogram("vllm:e2e_request_latency_seconds", "From a request to its last token.", endToEndLatency),
            .histogram(
                "vllm:request_queue_time_seconds", "From a request to the first step that computes of it.", queueTime),
            .histogram("vllm:request_inference_time_seconds", "From that step to the last token.", inferenceTime),
            .histogram("vllm:request_prefill_time_seconds", "From that step to the first token.", prefillTime),
            .histogram("vllm:request_decode_time_seconds", "From the first token to the last.", decodeTime),
            .histogram("vllm:request_prompt_tokens", "Tokens of a prompt.", promptTokens),
            .histogram("vllm:request_generation_tokens", "Tokens of an answer.", generationTokens),
            .histogram(
                "vllm:request_max_num_generation_tokens", "Tokens of a request's longest answer.",
                maxNumGenerationTokens),
            .histogram("vllm:request_params_max_tokens", "What requests ask for as `max_tokens`.", maxTokensParameter),
            .histogram("vllm:request_params_n", "What requests ask for as `n`.", nParameter),
            .counter(
                "martlet:steps", "Steps by how they were run.", by: ["mode"],
                [
                    (values: ["full"], count: engine?.fullGraphSteps ?? 0),
                    (values: ["piecewise"], count: engine?.piecewiseGraphSteps ?? 0),
                    (
                        values: ["none"],
                        count: engine.map { $0.steps - $0.fullGraphSteps - $0.piecewiseGraphSteps } ?? 0
                    ),
                ]),
            .counter(
                "martlet:attention_launches", "Attention kernels that a layer ran: one or two a step.",
                engine?.attentionLaunches ?? 0),
            .gauge(
                "martlet:ready",
                "1 where requests are served; 0 while loading, draining, stalled, or without a device.",
                isReady ? 1 : 0),
            .gauge(
                "martlet:stuck_texts", "Texts that were given up and are still being read; each holds a thread.",
                Double(stuckTexts)),
            .counter(
                "martlet:http_requests", "Requests over HTTP that were answered.", by: ["handler", "method", "status"],
                counts.answered.sorted { $0.key.lexicographicallyPrecedes($1.key) }.map {
                    (values: $0.key, count: $0.value)
                }),
            .counter(
                "martlet:http_disconnects", "Clients that went before their answers were complete.", counts.disconnected
            ),
        ]
    }
}
