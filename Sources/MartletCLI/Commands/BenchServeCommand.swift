// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import Martlet
import MartletBench
import MartletCheckpoints
import MartletClient
import MartletText

extension ServingDataset: ExpressibleByArgument {}
extension ServingReport.Measure: ExpressibleByArgument {}
extension ArrivalProcess.Ramp: ExpressibleByArgument {}

struct BenchServeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve", abstract: "Measures a running server, of any make, as its clients see it.",
        discussion: """
            MODEL is the GGUF file that the server serves, or one with the same vocabulary: prompts are made with its \
            tokenizer. Flags and figures are those of vLLM's bench serve.
            """)

    enum Backend: String, ExpressibleByArgument, CaseIterable {
        case openai
        case openaiChat = "openai-chat"
    }

    @Argument(help: "Path of the GGUF file, or a short name, for its tokenizer.") var model: ModelPath

    @Option(help: "openai asks for completions of token ids, openai-chat for answers to texts.")
    var backend = Backend.openai
    @Option(help: "The server, without /v1; in place of --host and --port.") var baseUrl: String?
    @Option(help: "The server's address.") var host = "127.0.0.1"
    @Option(parsing: .unconditional, help: "The server's port.") var port = 8000
    @Option(help: "The path that is asked, where it isn't OpenAI's.") var endpoint: String?
    @Option(help: "What the server calls the model; the first that it lists by default.") var servedModelName: String?
    @Option(help: "The server's API key; the environment's OPENAI_API_KEY by default.") var apiKey: String?

    @OptionGroup(title: "Prompts") var prompts: ServingPromptOptions
    @OptionGroup(title: "Load") var load: ServingLoadOptions

    @Flag(name: .customLong("ignore-eos"), help: "Answers are as long as was asked for, whatever the model says.")
    var ignoreEOS = false
    @Option(parsing: .unconditional, help: "Of the answers; 0 always takes the likeliest token.") var temperature = 0.0

    @Option(help: "Measures whose percentiles are told: ttft, tpot, itl, e2el.")
    var percentileMetrics = ArgumentList(ServingReport.Measure.allCases)
    @Option(help: "Percentiles, such as 50,90,99.9.") var metricPercentiles = ArgumentList([99.0])
    @Option(
        parsing: .upToNextOption,
        help: ArgumentHelp(
            "Milliseconds that a good request may take, as ttft:200 or e2el:3000.", valueName: "measure:ms"))
    var goodput: [String] = []
    @Flag(help: "Writes the figures into a file of a name that tells what was measured.") var saveResult = false
    @Flag(help: "Each request too.") var saveDetailed = false
    @Flag(help: "Adds to the file, a line a run, where it exists.") var appendResult = false
    @Option(help: "Where the file goes.") var resultDir: String?
    @Option(help: "What it is called.") var resultFilename: String?
    @Option(
        parsing: .upToNextOption,
        help: ArgumentHelp("What the file should say beside the figures.", valueName: "key=value"))
    var metadata: [String] = []
    @Option(help: "A file for a plot of percentiles, SVG.", completion: .file()) var plot: String?
    @Flag(name: .customLong("disable-tqdm"), help: "Shows no progress bar.") var disableProgress = false

    func validate() throws {
        if let baseUrl, !["http://", "https://"].contains(where: baseUrl.lowercased().hasPrefix) {
            throw ValidationError("--base-url is \(baseUrl); it must begin with http:// or https://")
        }
        guard metricPercentiles.values.allSatisfy({ (0...100).contains($0) }) else {
            throw ValidationError("--metric-percentiles must be 0 to 100")
        }
        _ = try conditions()
        for entry in metadata where !entry.contains("=") {
            throw ValidationError("--metadata \(entry) must be key=value")
        }
        if backend == .openaiChat, prompts.datasetName == .random, prompts.randomPrefixLen > 0 {
            throw ValidationError("--random-prefix-len needs the openai backend")
        }
    }

    /// Without a slash or `/v1` at its end, which the base URLs of some clients have.
    private var serverURL: String {
        var url = baseUrl ?? "http://\(host):\(port)"
        while url.hasSuffix("/") { url.removeLast() }
        if url.hasSuffix("/v1") { url.removeLast(3) }
        return url
    }

    private func conditions() throws -> ServingReport.Goodput {
        var conditions: ServingReport.Goodput = [:]
        for condition in goodput {
            let parts = condition.split(separator: ":")
            guard parts.count == 2, let measure = ServingReport.Measure(rawValue: String(parts[0])),
                let limit = Double(parts[1]), limit > 0
            else { throw ValidationError("--goodput \(condition) must be like ttft:200") }
            conditions[measure] = limit
        }
        return conditions
    }

    func run() async throws {
        if let plot { try Terminal.requireWritable(plot) }
        let file = resultFile
        if let file { try Terminal.requireWritable(file) }
        let tokenizer = try Tokenizer(ofModelAt: model.resolve())
        let workload = try prompts.workload(tokenizer)
        let url = serverURL
        let client = OpenAIClient(
            url: url, endpoint: backend == .openai ? .completions : .chat, path: endpoint,
            apiKey: apiKey ?? ProcessInfo.processInfo.environment["OPENAI_API_KEY"],
            connections: (load.maxConcurrency ?? workload.requests.count) + (load.probeRequestRate == nil ? 0 : 1))
        do {
            let report = try await measure(workload, tokenizer, url, client)
            try await client.shutDown()
            try write(report, to: file)
            guard report.completed.count > 0 else {
                throw InputError("no request was answered: \(report.outcomes.first?.error ?? "no reason given")")
            }
        } catch {
            // Twice does no harm but an error that says so.
            try? await client.shutDown()
            throw error
        }
    }

    private func measure(
        _ workload: ThroughputWorkload, _ tokenizer: Tokenizer, _ url: String, _ client: OpenAIClient
    ) async throws -> ServingReport {
        let name = try await waitForModel(client, url)
        let (backend, ignoreEOS, temperature) = (backend, ignoreEOS, temperature)
        @Sendable func ask(_ request: ThroughputWorkload.Request, _ start: ContinuousClock.Instant) async
            -> ServingOutcome
        {
            var outcome = ServingOutcome(
                start: (ContinuousClock.now - start) / .seconds(1), inputTokens: request.promptTokens.count)
            var question = OpenAIClient.Question(
                model: name,
                prompt: backend == .openai
                    ? .tokens(request.promptTokens) : .text(tokenizer.decode(request.promptTokens)),
                maxTokens: request.outputLength)
            question.ignoresEndTokens = ignoreEOS
            question.temperature = temperature
            do {
                let answer = try await client.ask(question)
                outcome.times = answer.times.map { ($0 - start) / .seconds(1) }
                outcome.outputTokens = answer.completionTokens
                outcome.inputTokens = answer.promptTokens ?? outcome.inputTokens
                outcome.text = answer.text
            } catch {
                outcome.error = "\(error)"
            }
            return outcome
        }
        let probe = ThroughputWorkload.Request(
            promptTokens: Array(workload.requests[0].promptTokens.prefix(8)), outputLength: 1)
        for _ in 0..<load.numWarmups { _ = await ask(workload.requests[0], .now) }
        let probes = load.probeRequestRate.map { rate in
            Task {
                var seconds: [Double] = []
                let start = ContinuousClock.now
                while !Task.isCancelled {
                    let outcome = await ask(probe, start)
                    if let time = outcome.endToEndLatency { seconds.append(time) }
                    try? await Task.sleep(for: .seconds(1 / rate))
                }
                return seconds
            }
        }
        let bar = disableProgress ? nil : ProgressBar(title: "Requests")
        bar?.show(0)
        let total = Double(workload.requests.count)
        let (outcomes, seconds) = try await ServingBenchmark(maxConcurrency: load.maxConcurrency).run(
            times: load.arrivals.times(count: workload.requests.count, seed: prompts.seed),
            send: { index, start in await ask(workload.requests[index], start) },
            progress: { bar?.show(Double($0) / total) })
        bar?.clear()
        var report = ServingReport(outcomes: outcomes, seconds: seconds, goodput: try conditions())
        if let probes {
            probes.cancel()
            report.probes = await probes.value
        }
        report.settings = settings(name)
        return report
    }

    /// The model's name, once the server answers.
    private func waitForModel(_ client: OpenAIClient, _ url: String) async throws -> String {
        let deadline = ContinuousClock.now + .seconds(load.readyCheckTimeoutSec)
        while true {
            do {
                let left = (deadline - .now) / .seconds(1)
                let first = try await client.firstModel(timeout: Int64(min(max(left.rounded(.up), 2), 30)))
                return servedModelName ?? first
            } catch {
                guard ContinuousClock.now < deadline else {
                    let isRefused = "\(error)".contains("answered 401") || "\(error)".contains("answered 403")
                    let advice = isRefused ? "; give its key by --api-key or OPENAI_API_KEY" : ""
                    if error is OpenAIClient.Failure { throw InputError("\(error)\(advice)") }
                    let reason =
                        switch error {
                        case is DecodingError: "its answer to /v1/models is no list of models"
                        default: "\(error)".contains("Connection refused") ? "the connection was refused" : "\(error)"
                        }
                    throw InputError(
                        "\(url) doesn't answer as an OpenAI-compatible server: \(reason); is it running there?")
                }
                try await Task.sleep(for: .seconds(0.5))
            }
        }
    }

    private func settings(_ name: String) -> [(name: String, value: JSONScalar)] {
        let rate = load.requestRate
        var settings: [(name: String, value: JSONScalar)] = [
            ("date", .text(Date().formatted(.iso8601))), ("backend", .text(backend.rawValue)),
            ("model_id", .text(name)), ("tokenizer_id", .text(model.name)),
            ("num_prompts", .integer(prompts.numPrompts)),
            ("request_rate", rate.isFinite ? .number(rate) : .text("inf")), ("burstiness", .number(load.burstiness)),
            ("max_concurrency", load.maxConcurrency.map { .integer($0) } ?? .none),
        ]
        for entry in metadata {
            let parts = entry.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            settings.append((String(parts[0]), .text(String(parts[1]))))
        }
        return settings
    }

    private var resultFile: String? {
        guard saveResult || appendResult || resultFilename != nil else { return nil }
        let rate = load.requestRate.isFinite ? "\(load.requestRate)qps" : "infqps"
        let stamp = Date().formatted(.iso8601.dateSeparator(.omitted).timeSeparator(.omitted))
        let name = resultFilename ?? "\(backend.rawValue)-\(rate)-\(model.name)-\(stamp).json"
        return resultDir.map { URL(filePath: $0).appending(path: name).path } ?? name
    }

    private func write(_ report: ServingReport, to file: String?) throws {
        Terminal.write(report.text(measures: percentileMetrics.values, percentiles: metricPercentiles.values))
        if let file {
            let json = report.json(
                measures: percentileMetrics.values, percentiles: metricPercentiles.values, isDetailed: saveDetailed)
            if appendResult {
                try Terminal.appendJSON(json, to: file)
            } else {
                try Terminal.writeJSON(json, to: file)
            }
            Terminal.note("figures: \(file)")
        }
        if let plot { try Terminal.writeFile(report.plot.svg, to: plot) }
    }
}
