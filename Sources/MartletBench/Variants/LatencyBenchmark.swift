// SPDX-License-Identifier: Apache-2.0

import Martlet

/// How long a batch of requests takes from the first to the last token, all of one shape: vLLM's `bench latency`.
package struct LatencyBenchmark: Sendable {
    package let batchSize: Int
    package let outputLength: Int
    package let seed: UInt64

    package init(batchSize: Int, outputLength: Int, seed: UInt64 = 0) {
        self.batchSize = batchSize
        self.outputLength = outputLength
        self.seed = seed
    }

    /// The same random prompts in each run.
    package func run(
        on engines: VariantEngines, inputLength: Int, warmup: Int, iterations: Int, limits: LimitsBenchmark? = nil,
        progress: (Double) -> Void = { _ in }
    ) async throws -> [VariantResult] {
        let runs = try await engines.time(
            warmup: warmup, iterations: iterations, limits: limits, progress: progress
        ) { engine, _ in
            let workload = ThroughputWorkload.random(
                count: batchSize, inputLengths: [inputLength], outputLengths: [outputLength],
                vocabulary: engine.model.tokenizer.vocabulary, seed: seed)
            return try await ThroughputBenchmark(workload, seed: seed).run(on: engine)
        }
        return runs.map {
            VariantResult(
                variant: $0.variant, length: inputLength, prefix: nil, timings: $0.timings, share: $0.share)
        }
    }
}
