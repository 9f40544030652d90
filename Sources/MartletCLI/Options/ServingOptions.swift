// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import MartletBench
import MartletText

/// What a serving benchmark asks.
struct ServingPromptOptions: ParsableArguments {
    @Option(help: "Where prompts come from: random, sharegpt, prefix_repetition or custom.")
    var datasetName = ServingDataset.random
    @Option(help: "The file of sharegpt, or of custom: lines like {\"prompt\": \"…\"}.", completion: .file())
    var datasetPath: String?
    @Option(parsing: .unconditional, help: "Requests.") var numPrompts = 100
    @Option(parsing: .unconditional, help: "Of prompts and arrivals.") var seed: UInt64 = 0
    @Option(parsing: .unconditional, help: "Tokens of a random prompt.") var randomInputLen = 1024
    @Option(parsing: .unconditional, help: "Tokens of its answer.") var randomOutputLen = 128
    @Option(parsing: .unconditional, help: "How far both may be from that: 0.2 is up to a fifth more or less.")
    var randomRangeRatio = 0.0
    @Option(parsing: .unconditional, help: "Tokens that all random prompts begin with, before theirs.")
    var randomPrefixLen = 0
    @Option(parsing: .unconditional, help: "Tokens of each prefix of prefix_repetition.")
    var prefixRepetitionPrefixLen = 256
    @Option(parsing: .unconditional, help: "Tokens behind it.") var prefixRepetitionSuffixLen = 256
    @Option(parsing: .unconditional, help: "Different prefixes.") var prefixRepetitionNumPrefixes = 10
    @Option(parsing: .unconditional, help: "Tokens of an answer.") var prefixRepetitionOutputLen = 128
    @Option(parsing: .unconditional, help: "Tokens of an answer, where the file has none.") var sharegptOutputLen: Int?
    @Option(parsing: .unconditional, help: "Tokens of an answer.") var customOutputLen = 256

    func validate() throws {
        for (flag, value) in [
            ("--num-prompts", numPrompts), ("--random-input-len", randomInputLen),
            ("--random-output-len", randomOutputLen), ("--prefix-repetition-prefix-len", prefixRepetitionPrefixLen),
            ("--prefix-repetition-suffix-len", prefixRepetitionSuffixLen),
            ("--prefix-repetition-num-prefixes", prefixRepetitionNumPrefixes),
            ("--prefix-repetition-output-len", prefixRepetitionOutputLen), ("--custom-output-len", customOutputLen),
            ("--sharegpt-output-len", sharegptOutputLen ?? 1),
        ] { try require(flag, value, in: 1...1 << 20) }
        try require("--random-prefix-len", randomPrefixLen, in: 0...1 << 20)
        guard (0..<1).contains(randomRangeRatio) else {
            throw ValidationError("--random-range-ratio is \(randomRangeRatio); it must be 0 to below 1")
        }
        let longest = max(randomInputLen + randomPrefixLen, prefixRepetitionPrefixLen + prefixRepetitionSuffixLen)
        guard numPrompts * longest <= 1 << 28 else {
            throw ValidationError("\(numPrompts) prompts of \(longest) tokens are more than 2^28 together")
        }
        guard [.sharegpt, .custom].contains(datasetName) == (datasetPath != nil) else {
            throw ValidationError("--dataset-path goes with --dataset-name sharegpt and custom, and only with those")
        }
    }

    func workload(_ tokenizer: Tokenizer) throws -> ThroughputWorkload {
        let vocabulary = tokenizer.vocabulary
        switch (datasetName, datasetPath) {
        case (.sharegpt, let path?):
            return try .shareGPT(
                path: path, count: numPrompts, outputLength: sharegptOutputLen, tokenizer: tokenizer, seed: seed)
        case (.custom, let path?):
            return try .custom(path: path, count: numPrompts, outputLength: customOutputLen, tokenizer: tokenizer)
        case (.prefixRepetition, _):
            return .prefixRepetition(
                count: numPrompts, prefixLength: prefixRepetitionPrefixLen, suffixLength: prefixRepetitionSuffixLen,
                prefixes: prefixRepetitionNumPrefixes, outputLength: prefixRepetitionOutputLen, vocabulary: vocabulary,
                seed: seed)
        default:
            return .random(
                count: numPrompts, inputLength: randomInputLen, outputLength: randomOutputLen,
                rangeRatio: randomRangeRatio, prefixLength: randomPrefixLen, vocabulary: vocabulary, seed: seed)
        }
    }
}

/// When a serving benchmark asks.
struct ServingLoadOptions: ParsableArguments {
    @Option(parsing: .unconditional, help: "Requests a second; inf sends all at once.") var requestRate = Double
        .infinity
    @Option(parsing: .unconditional, help: "1 is a Poisson process, less is burstier, more is steadier.")
    var burstiness = 1.0
    @Option(parsing: .unconditional, help: "Requests that are open at a time; the others wait.") var maxConcurrency:
        Int?
    @Option(help: "How the rate grows, in place of --request-rate: linear or exponential.")
    var rampUpStrategy: ArrivalProcess.Ramp?
    @Option(parsing: .unconditional, help: "Requests a second at the beginning.") var rampUpStartRps: Double?
    @Option(parsing: .unconditional, help: "And at the end.") var rampUpEndRps: Double?
    @Option(parsing: .unconditional, help: "Requests before the measurement, one after the other.") var numWarmups = 1
    @Option(
        parsing: .unconditional, help: "Seconds to wait for the server to answer at all; 0 asks once, for two seconds.")
    var readyCheckTimeoutSec = 30.0
    @Option(parsing: .unconditional, help: "Tiny requests a second beside the load, whose latency is told apart.")
    var probeRequestRate: Double?

    func validate() throws {
        try require("--probe-request-rate", probeRequestRate, in: 1e-4...1e6)
        try require("--ramp-up-start-rps", rampUpStartRps, in: 1e-4...1e6)
        try require("--ramp-up-end-rps", rampUpEndRps, in: 1e-4...1e6)
        guard requestRate >= 1e-4 else {
            throw ValidationError("--request-rate is \(requestRate); it must be 0.0001 or more, or inf")
        }
        try require("--burstiness", burstiness, in: 1e-3...1e6)
        try require("--max-concurrency", maxConcurrency, in: 1...65536)
        try require("--num-warmups", numWarmups, in: 0...1024)
        try require("--ready-check-timeout-sec", readyCheckTimeoutSec, in: 0...86_400)
        guard (rampUpStrategy != nil) == (rampUpStartRps != nil), (rampUpStartRps != nil) == (rampUpEndRps != nil)
        else {
            throw ValidationError("--ramp-up-strategy, --ramp-up-start-rps and --ramp-up-end-rps go together")
        }
        guard rampUpStrategy == nil || requestRate == .infinity else {
            throw ValidationError("--ramp-up-strategy takes the place of --request-rate")
        }
    }

    var arrivals: ArrivalProcess {
        var process = ArrivalProcess(rate: requestRate, burstiness: burstiness)
        if let rampUpStrategy, let rampUpStartRps, let rampUpEndRps {
            process.ramp = (rampUpStrategy, rampUpStartRps, rampUpEndRps)
        }
        return process
    }
}
