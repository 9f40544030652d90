// SPDX-License-Identifier: Apache-2.0

import Martlet

/// One long request beside many short ones: the scenario of vLLM's pull request 29020.
///
/// The long prompt comes first and its answer has many tokens; each of the short ones has one. Two sequences at a time,
/// so nearly every step is a decode over a long context beside a short prompt.
package struct MixedBenchmark: Sendable {
    /// Tokens of the long request's answer.
    package let outputLength: Int
    package let shortCount: Int
    package let shortLength: Int
    package let seed: UInt64

    package init(outputLength: Int, shortCount: Int, shortLength: Int, seed: UInt64 = 0) {
        self.outputLength = outputLength
        self.shortCount = shortCount
        self.shortLength = shortLength
        self.seed = seed
    }

    /// A parameter for each of the command's flags.
    ///
    /// - Parameters:
    ///   - prefix: cold takes another long prompt for each run, warm the same one, that of the last cold run if the
    ///     cache still holds it.
    ///   - warmup: warm runs need at least one, so that the cache holds the prompt.
    package func run(
        on engines: VariantEngines, longLength: Int, prefix: PrefixState, warmup: Int, iterations: Int,
        limits: LimitsBenchmark? = nil,
        progress: (Double) -> Void = { _ in }
    ) async throws -> [VariantResult] {
        let runs = try await engines.time(
            warmup: warmup, iterations: iterations, limits: limits, progress: progress
        ) { engine, iteration in
            let prompt = prefix == .warm ? 0 : warmup + iterations - 1 - iteration
            let report = try await run(
                on: engine, longLength: longLength, prompt: prompt, shortSet: 2 * iteration + (prefix == .warm ? 1 : 0))
            let blockSize = engine.model.blockSize
            // The last token is computed in any case, so that there is a hidden state.
            let expected = (longLength - 1) / blockSize * blockSize
            guard prefix == .cold || iteration < max(1, warmup) || report.prefixCacheHits >= expected else {
                throw WorkloadError(
                    description:
                        "the KV cache no longer held the long prompt; give it more memory (kv_cache_memory_bytes)")
            }
            return report
        }
        return runs.map {
            VariantResult(
                variant: $0.variant, length: longLength, prefix: prefix, timings: $0.timings, share: $0.share)
        }
    }

    /// - Parameters:
    ///   - prompt: which of the long prompts.
    ///   - shortSet: which of the sets of short ones.
    private func run(
        on engine: Engine, longLength: Int, prompt: Int, shortSet: Int
    ) async throws -> ThroughputReport {
        let vocabulary = engine.model.tokenizer.vocabulary
        // No two measurements may have prompts that begin alike: one would find the other's in the cache.
        let base = seed &+ UInt64(longLength) << 32
        let long = ThroughputWorkload.random(
            count: 1, inputLengths: [longLength], outputLengths: [outputLength], vocabulary: vocabulary,
            seed: base &+ UInt64(prompt))
        let short = ThroughputWorkload.random(
            count: shortCount, inputLengths: [shortLength], outputLengths: [1], vocabulary: vocabulary,
            seed: base &+ 0x8000_0000 &+ UInt64(shortSet))
        let workload = ThroughputWorkload(requests: long.requests + short.requests)
        return try await ThroughputBenchmark(workload, seed: seed).run(on: engine)
    }
}
