// SPDX-License-Identifier: Apache-2.0

import Martlet

/// Observes one request for the metrics, while it is answered.
struct RequestTimes {
    private let metrics: ServerMetrics
    private let start: ContinuousClock.Instant
    private var last: [ContinuousClock.Instant?]
    private var tokens: [Int]
    private var unfinished: Int

    /// - Parameter start: when the request came.
    init(_ metrics: ServerMetrics, since start: ContinuousClock.Instant, _ request: GenerationRequest) {
        self.metrics = metrics
        self.start = start
        let (sampling, samples) = (request.sampling, max(1, request.sampling.n))
        last = Array(repeating: nil, count: samples)
        tokens = Array(repeating: 0, count: samples)
        unfinished = samples
        metrics.promptTokens.observe(Double(request.promptTokens.count))
        metrics.nParameter.observe(Double(sampling.n))
        if let maxTokens = sampling.maxTokens { metrics.maxTokensParameter.observe(Double(maxTokens)) }
    }

    mutating func observe(_ piece: GenerationPiece) {
        for time in piece.times {
            if let before = last[piece.sample] {
                metrics.interTokenLatency.observe((time - before) / .seconds(1))
            } else {
                metrics.timeToFirstToken.observe((time - start) / .seconds(1))
            }
            last[piece.sample] = time
        }
        tokens[piece.sample] += piece.tokens.count
        guard let summary = piece.summary else { return }
        finish(summary, sample: piece.sample)
    }

    private mutating func finish(_ summary: GenerationSummary, sample: Int) {
        let count = summary.completionTokens
        metrics.generationTokens.observe(Double(count))
        metrics.countFinished(summary.finishReason.rawValue)
        if count > 1 { metrics.timePerOutputToken.observe(summary.generationSeconds / Double(count - 1)) }
        let prefill = max(0, summary.promptSeconds - summary.queueSeconds)
        metrics.queueTime.observe(summary.queueSeconds)
        metrics.prefillTime.observe(prefill)
        metrics.decodeTime.observe(summary.generationSeconds)
        metrics.inferenceTime.observe(prefill + summary.generationSeconds)
        metrics.endToEndLatency.observe(((last[sample] ?? .now) - start) / .seconds(1))
        unfinished -= 1
        if unfinished == 0 { metrics.maxNumGenerationTokens.observe(Double(tokens.max() ?? 0)) }
    }

    /// The request ended before all its answers had.
    mutating func abort() {
        for _ in 0..<unfinished { metrics.countFinished("abort") }
        unfinished = 0
    }
}
