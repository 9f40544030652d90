// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Martlet
import MartletBench
import OrderedCollections

struct BenchMixedCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "mixed", abstract: "Seconds that a long request and a stream of short ones take side by side.",
        discussion: """
            One request of --long-len prompt tokens whose answer has --output-len, and behind it --num-prompts requests \
            of a short prompt and one token each, two sequences at a time: the scenario of vLLM's pull request 29020. \
            The time is that of all of them. Cold runs bring a new long prompt each, warm ones find theirs in the prefix cache. Several graph modes or \
            attention launches are measured in turn, run by run.
            """)

    @OptionGroup var model: ModelOptions
    @OptionGroup(title: "Variants and results") var variants: VariantOptions

    @Option(help: "Tokens of the long prompt; a list is measured one after the other.")
    var longLen = Numbers([4096])

    @Option(parsing: .unconditional, help: "Tokens of the long request's answer.")
    var outputLen = 100

    @Option(parsing: .unconditional, help: "Number of short requests; --output-len by default.")
    var numPrompts: Int?

    @Option(parsing: .unconditional, help: "Tokens of a short prompt.")
    var shortLen = 5

    @Option(help: "Whether the cache holds the long prompt when it comes: cold, warm, or a list of both.")
    var prefix = ArgumentList<PrefixState>([.cold, .warm])

    @Option(parsing: .unconditional, help: "Runs before those that count; warm ones have at least one.")
    var numItersWarmup = 1

    @Option(parsing: .unconditional, help: "Runs that count.")
    var numIters = 5

    @Option(
        parsing: .unconditional,
        help: "Cold runs that count, where those are to be fewer: they read the whole long prompt each.")
    var numItersCold: Int?

    @Option(parsing: .unconditional, help: "Of the prompts.")
    var seed: UInt64 = 0

    private var shortCount: Int { numPrompts ?? outputLen }

    func validate() throws {
        try require("--num-prompts", numPrompts, in: 0...1000)
        // There are as many short prompts as tokens of the answer, where nothing else is said.
        try require("--output-len", outputLen, in: 1...(numPrompts == nil ? 1000 : 1 << 20))
        try require("--short-len", shortLen, in: 1...1 << 20)
        let promptTokens = (longLen.values.max() ?? 0) + shortCount * shortLen
        guard promptTokens <= RequestLimits().queuedPromptTokens else {
            throw ValidationError("prompts of \(promptTokens) tokens together are more than an engine takes at a time")
        }
        try require("--num-iters", numIters, in: 1...10_000)
        try require("--num-iters-cold", numItersCold, in: 1...10_000)
        try require("--num-iters-warmup", numItersWarmup, in: 0...10_000)
        if model.cache.enablePrefixCaching == false, prefix.values.contains(.warm) {
            throw ValidationError("--no-enable-prefix-caching leaves no warm prefix; give --prefix cold")
        }
    }

    func run() async throws {
        let longest = max((longLen.values.max() ?? 0) + outputLen, shortLen + 1)
        let run = try await variants.load(model) { options in
            if model.scheduling.maxNumSeqs == nil { options.maxNumSeqs = 2 }
            if options.maxModelLength == nil { options.maxModelLength = longest }
        }
        let benchmark = MixedBenchmark(
            outputLength: outputLen, shortCount: shortCount, shortLength: shortLen, seed: seed)
        let limits = try model.compute.device.makeLimits()
        var results: [VariantResult] = []
        // Once each: a cold prompt is another one only in its first measurement.
        for length in OrderedSet(longLen.values) {
            // Cold first: it leaves the prompt that warm runs find.
            for state in PrefixState.allCases where prefix.values.contains(state) {
                let bar = ProgressBar(title: "\(length) tokens, \(state.rawValue)")
                bar.show(0)
                defer { bar.clear() }
                results += try await benchmark.run(
                    on: run.engines, longLength: length, prefix: state,
                    warmup: max(numItersWarmup, state == .warm ? 1 : 0),
                    iterations: state == .cold ? numItersCold ?? numIters : numIters, limits: limits
                ) { bar.show($0) }
            }
        }
        Terminal.write(results.table.text)
        try variants.write(
            LatencyReport(results.map { LatencyEntry($0, outputLength: outputLen) }),
            results.plot(
                title: "One long request (\(outputLen) tokens out) beside \(shortCount) short ones",
                xLabel: "long prompt, tokens"))
        try await run.finish()
    }
}
