// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import Martlet
import MartletBench

struct BenchThroughputCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "throughput", abstract: "Tokens a second when all requests are there at once.",
        discussion: """
            Requests of random tokens, or the first questions of a ShareGPT file's conversations (as they stand, without \
            the model's template; those of fewer than 4 or more than 1024 tokens are left out). --input-len and --output-len may be lists: requests take \
            their lengths from them in turn, so that --num-prompts 2 --input-len 16,8000 --output-len 300,1 is an answer \
            beside a long prompt. The time between two tokens of an answer (ITL) is taken where they are computed.
            """)

    enum Dataset: String, ExpressibleByArgument, CaseIterable { case random, sharegpt }

    @OptionGroup var load: LoadOptions

    @Option(parsing: .unconditional, help: "Requests.")
    var numPrompts = 32

    @Option(
        name: [.long, .customLong("random-input-len")],
        help: "Tokens of a prompt, 128 by default; a list is taken in turn.")
    var inputLen: Numbers?

    @Option(
        name: [.long, .customLong("random-output-len")],
        help: "Tokens of an answer, 128 or what the data set says by default; a list is taken in turn.")
    var outputLen: Numbers?

    @Option(
        name: [.long, .customLong("random-prefix-len")], parsing: .unconditional,
        help: "Tokens that all random prompts begin with, before theirs.")
    var prefixLen = 0

    @Option(help: "Where prompts come from: random or sharegpt.")
    var datasetName = Dataset.random

    @Option(help: "The ShareGPT file.", completion: .file())
    var datasetPath: String?

    @Option(name: .customLong("n"), parsing: .unconditional, help: "Answers to each prompt.")
    var samples = 1

    @Option(parsing: .unconditional, help: "Of prompts and answers.")
    var seed: UInt64 = 0

    @Option(parsing: .unconditional, help: "Requests before the measurement, one after the other.")
    var numWarmups = 1

    @Option(help: "A file for the figures.", completion: .file())
    var outputJson: String?

    func validate() throws {
        try require("--num-prompts", numPrompts, in: 1...1024)
        try require("--num-warmups", numWarmups, in: 0...1024)
        try require("--n", samples, in: 1...4096)
        try require("--prefix-len", prefixLen, in: 0...1 << 22)
        let longest = (inputLen?.values.max() ?? 128) + prefixLen
        guard numPrompts * longest <= RequestLimits().queuedPromptTokens else {
            throw ValidationError(
                "\(numPrompts) prompts of \(longest) tokens are more than an engine takes at a time, \(RequestLimits().queuedPromptTokens)"
            )
        }
        guard (datasetName == .sharegpt) == (datasetPath != nil) else {
            throw ValidationError("--dataset-name sharegpt and --dataset-path go together")
        }
        if datasetName == .sharegpt, inputLen != nil || prefixLen > 0 || outputLen.map({ $0.values.count > 1 }) ?? false
        {
            throw ValidationError("a data set brings its own prompts; --output-len may be one number")
        }
    }

    func run() async throws {
        if let outputJson { try Terminal.requireWritable(outputJson) }
        let run = try await load.loadEngine()
        let engine = run.engine
        for index in 0..<numWarmups {
            let workload = try workload(for: engine.model, count: 1, seed: seed &- 1 &- UInt64(index))
            _ = try await ThroughputBenchmark(workload, seed: seed).run(on: engine)
        }
        let workload = try workload(for: engine.model, count: numPrompts, seed: seed)
        if workload.requests.count < numPrompts {
            Terminal.note("note: the data set has \(workload.requests.count) conversations of a usable length")
        }
        let limits = try load.model.compute.device.makeLimits()
        await engine.settle()
        limits.sample(for: .seconds(0.2))
        let bar = ProgressBar(title: "Tokens")
        bar.show(0)
        var report = try await ThroughputBenchmark(workload, samples: samples, seed: seed).run(on: engine) {
            bar.show($0)
        }
        bar.clear()
        await engine.settle()
        limits.sample(for: .seconds(0.2))
        report.share = LimitShare(
            report.work, of: engine.model, seconds: report.elapsedTime, limits: limits.limits)
        Terminal.write(report.text)
        if let outputJson { try Terminal.writeJSON(report, to: outputJson) }
        try await run.finish()
    }

    private func workload(for model: LoadedModel, count: Int, seed: UInt64) throws -> ThroughputWorkload {
        if let datasetPath {
            return try .shareGPT(
                path: datasetPath, count: count, outputLength: outputLen?.values.first, tokenizer: model.tokenizer,
                seed: seed)
        }
        return .random(
            count: count, inputLengths: inputLen?.values ?? [128], outputLengths: outputLen?.values ?? [128],
            prefixLength: prefixLen, vocabulary: model.tokenizer.vocabulary, seed: seed)
    }
}

extension ThroughputReport {
    /// vLLM's lines, and the latencies.
    var text: String {
        func number(_ value: Double?) -> String { value.map { String(format: "%.2f", $0) } ?? "-" }
        var table = Table()
        table.add("", "mean", "median", "p95", "p99", "max")
        table.legend = [
            "TTFT": "time to the first token, from when the request was made",
            "ITL": "time between one token of an answer and the next",
        ]
        for (name, times) in [("TTFT (ms)", timeToFirstToken), ("ITL (ms)", interTokenLatency)] {
            table.add(
                name, number(times.mean), number(times.percentile(50)), number(times.percentile(95)),
                number(times.percentile(99)), number(times.maximum))
        }
        return """
            Throughput: \(number(requestsPerSecond)) requests/s, \(number(tokensPerSecond)) total tokens/s, \
            \(number(outputThroughput)) output tokens/s
            Total num prompt tokens:  \(totalInputTokens) (\(prefixCacheHits) cached)
            Total num output tokens:  \(totalOutputTokens)
            Steps: \(steps), preemptions: \(preemptions), seconds: \(number(elapsedTime))
            Of the machine's limits: \(share?.formattedMultiply ?? "-") of multipliers, \
            \(share?.formattedRead ?? "-") of memory

            """ + table.text
    }
}
