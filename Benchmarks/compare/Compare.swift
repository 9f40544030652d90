// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import Martlet
import MartletBench

@main struct Compare: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Holds Martlet against llama.cpp and OpenAI-compatible servers on the same model and machine.",
        discussion: """
            Workloads: prompt:N reads a prompt of N tokens; answer:N generates N tokens, answer:N@D behind a context of D; \
            concurrent:N are N requests of 128 tokens in and 128 out. Engines are measured in turn, round by round; \
            figures are medians in tokens a second. Martlet runs in this process, llama-bench is started for each \
            measurement (its faster of flash attention off and on counts), servers must be running and serve the same model. \
            Prompts are random token ids, never the same twice.
            """)

    @Argument(help: "Path of the GGUF file.") var model: String

    @Option(help: "Path of llama.cpp's llama-bench.", completion: .file()) var llamaBench: String?

    @Option(
        help: ArgumentHelp(
            "An OpenAI-compatible server, as NAME=URL; may be given several times.", valueName: "name=url"))
    var server: [String] = []

    @Option(help: "Workloads, separated by commas.")
    var workloads = Workloads([.prompt(512), .prompt(2048), .answer(128, depth: 0), .answer(32, depth: 4096)])

    @Option(help: "Rounds that count.") var rounds = 5

    @Option(help: "Threads of Martlet and llama-bench; all processors by default.") var threads: Int?

    enum Activations: String, ExpressibleByArgument { case int8, int16 }

    @Option(help: "Martlet's activations: int8 or int16.") var activations = Activations.int8

    @Option(help: "A file for the figures, as JSON.", completion: .file()) var outputJson: String?

    func validate() throws {
        guard (1...1000).contains(rounds) else { throw ValidationError("--rounds must be 1 to 1000") }
        guard (1...1024).contains(threads ?? 1) else { throw ValidationError("--threads must be 1 to 1024") }
        guard Set(workloads.values).count == workloads.values.count else {
            throw ValidationError("--workloads names one twice")
        }
        for server in server where !server.contains("=") {
            throw ValidationError("--server \(server) must be NAME=URL")
        }
    }

    func run() async throws {
        let threads = threads ?? ProcessInfo.processInfo.activeProcessorCount
        let engine = try await load(threads: threads)
        var contenders: [any Contender] = [MartletEngine(engine: engine)]
        if let llamaBench { contenders.append(LlamaBench(path: llamaBench, model: model, threads: threads)) }
        for server in server {
            let parts = server.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            contenders.append(
                try await OpenAIServer(
                    name: String(parts[0]), url: String(parts[1]),
                    connections: workloads.values.map(\.requests).max() ?? 1))
        }
        let vocabulary = engine.model.tokenizer.vocabulary
        // A run's prompts come from its own seed, a process's from the clock: servers may remember the last one's.
        let seed = UInt64(Date().timeIntervalSince1970 * 1e6)
        var drawn: UInt64 = 0
        func prompts(_ workload: Workload) -> [[Int32]] {
            drawn += 1
            let length =
                switch workload {
                case .prompt(let tokens): tokens
                case .answer(_, let depth): max(depth, Workload.shortPrompt)
                case .concurrent: Workload.concurrentLength
                }
            return ThroughputWorkload.random(
                count: workload.requests, inputLengths: [length], outputLengths: [1], vocabulary: vocabulary,
                seed: seed &+ drawn &* 0x9e37_79b9
            ).requests.map(\.promptTokens)
        }
        // Memory that is touched for the first time, and threads that sleep.
        _ = try await contenders[0].run(.prompt(512), prompts: prompts(.prompt(512)))
        await engine.settle()

        let limits = try LimitsBenchmark(threads: threads)
        var (spent, works) = ([Workload: Double](), [Workload: ComputedWork]())
        let clock = ContinuousClock()
        var (time, work) = (clock.now, engine.statistics.work)
        let comparison = Comparison(contenders: contenders, workloads: workloads.values, rounds: rounds) { workload in
            let prompts = prompts(workload)
            (time, work) = (clock.now, engine.statistics.work)
            return prompts
        }
        var results = try await comparison.run { workload, contender, round in
            if contender == 0 {
                spent[workload, default: 0] += (clock.now - time) / .seconds(1)
                works[workload, default: ComputedWork()] =
                    works[workload, default: ComputedWork()] + (engine.statistics.work - work)
                await engine.settle()
                limits.sample()
            }
            let done = "round \(round + 1) of \(rounds), \(workload), \(contenders[contender].name)"
            FileHandle.standardError.write(Data("\r\u{1b}[K\(done)".utf8))
        }
        for contender in contenders { try await contender.end() }
        FileHandle.standardError.write(Data("\r\u{1b}[K".utf8))
        for (index, workload) in workloads.values.enumerated() {
            guard let work = works[workload], let seconds = spent[workload] else { continue }
            results[index].share = LimitShare(work, of: engine.model, seconds: seconds, limits: limits.limits)
        }
        let report = ComparisonReport(
            model: engine.model.name, device: engine.model.deviceName, rounds: rounds, limits: limits.limits,
            results: results)
        print(report.text, terminator: "")
        if let outputJson {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
            try encoder.encode(report).write(to: URL(filePath: outputJson))
        }
        await engine.stop()
    }

    private func load(threads: Int) async throws -> Engine {
        var options = EngineOptions()
        options.threads = threads
        options.activations = activations == .int8 ? .int8 : .int16
        options.allowsLongMaxModelLength = true
        options.maxModelLength = max(1024, workloads.values.map(\.length).max() ?? 0)
        options.maxNumSeqs = max(options.maxNumSeqs, workloads.values.map(\.requests).max() ?? 1)
        return try await Engine.load(model, options: options)
    }
}

struct ComparisonReport: Encodable {
    let model: String
    let device: String
    let rounds: Int
    let limits: MachineLimits
    let results: [ComparisonResult]

    var text: String {
        """
        \(model) on \(device), medians of \(rounds) interleaved rounds
        memory read in order \(String(format: "%.1f", limits.read / 1e9)) GB/s, multiply int8 \
        \(String(format: "%.0f", limits.int8 / 1e9)) GOP/s, int16 \(String(format: "%.0f", limits.int16 / 1e9)) GOP/s, \
        bf16 \(String(format: "%.0f", limits.bfloat16 / 1e9)) GFLOP/s

        """ + ComparisonResult.table(results)
    }
}
