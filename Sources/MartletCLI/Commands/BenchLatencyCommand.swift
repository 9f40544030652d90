// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Martlet
import MartletBench

struct BenchLatencyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "latency", abstract: "Seconds that a batch takes from first to last token, by prompt length.",
        discussion: """
            Requests of random tokens, all there at once, the same in each run. Several graph modes or attention launches \
            are measured in turn, run by run. Prefix caching is off unless it is asked for, as in vLLM, so that each run \
            reads its prompts.
            """)

    @OptionGroup var model: ModelOptions
    @OptionGroup(title: "Variants and results") var variants: VariantOptions

    @Option(help: "Tokens of a prompt; a list is measured one after the other.")
    var inputLen = Numbers([32])

    @Option(parsing: .unconditional, help: "Tokens of an answer.")
    var outputLen = 128

    @Option(parsing: .unconditional, help: "Requests in a batch.")
    var batchSize = 8

    @Option(parsing: .unconditional, help: "Runs before those that count.")
    var numItersWarmup = 10

    @Option(parsing: .unconditional, help: "Runs that count.")
    var numIters = 30

    @Option(parsing: .unconditional, help: "Of the prompts.")
    var seed: UInt64 = 0

    func validate() throws {
        try require("--batch-size", batchSize, in: 1...1024)
        try require("--output-len", outputLen, in: 1...1 << 20)
        guard batchSize * (inputLen.values.max() ?? 0) <= Self.mostPromptTokens else {
            throw ValidationError("a batch has at most \(Self.mostPromptTokens) prompt tokens")
        }
        guard batchSize <= min(model.scheduling.maxNumSeqs ?? batchSize, model.scheduling.maxNumBatchedTokens) else {
            throw ValidationError(
                "--batch-size is more than --max-num-seqs or --max-num-batched-tokens computes at a time")
        }
        try require("--num-iters", numIters, in: 1...10_000)
        try require("--num-iters-warmup", numItersWarmup, in: 0...10_000)
    }

    /// What an engine takes at a time.
    private static let mostPromptTokens = RequestLimits().queuedPromptTokens

    func run() async throws {
        let longest = (inputLen.values.max() ?? 0) + outputLen
        let run = try await variants.load(model) { options in
            options.enablePrefixCaching = model.cache.enablePrefixCaching ?? false
            if options.maxModelLength == nil { options.maxModelLength = longest }
            options.maxNumSeqs = max(options.maxNumSeqs, batchSize)
        }
        let benchmark = LatencyBenchmark(batchSize: batchSize, outputLength: outputLen, seed: seed)
        let limits = try model.compute.device.makeLimits()
        var results: [VariantResult] = []
        for length in inputLen.values {
            let bar = ProgressBar(title: "\(length) tokens")
            bar.show(0)
            defer { bar.clear() }
            results += try await benchmark.run(
                on: run.engines, inputLength: length, warmup: numItersWarmup, iterations: numIters,
                limits: limits
            ) { bar.show($0) }
        }
        Terminal.write(results.table.text)
        try variants.write(
            LatencyReport(
                results.map { LatencyEntry($0, outputLength: outputLen, batchSize: batchSize) }),
            results.plot(
                title: "Latency: \(outputLen) tokens out, batch of \(batchSize)", xLabel: "prompt tokens"))
        try await run.finish()
    }
}
