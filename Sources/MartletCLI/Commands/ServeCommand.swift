// SPDX-License-Identifier: Apache-2.0

package import ArgumentParser
import Dispatch
import Foundation
import Logging
import Martlet
import MartletServer
import Synchronization

package struct ServeCommand: AsyncParsableCommand {
    package init() {}

    package static let configuration = CommandConfiguration(
        commandName: "serve", abstract: "Serves a model over HTTP, for OpenAI's clients.",
        discussion: """
            Completions, chat, tokenizing and metrics under vLLM's names, and a page for trying the model at /. The first \
            Ctrl-C or SIGTERM refuses new requests and finishes those under way; a second one ends at once.
            """)

    @OptionGroup package var load: LoadOptions
    @OptionGroup(title: "Where and for whom") package var listen: ListenOptions

    @Option(
        help: ArgumentHelp(
            "A YAML file of these flags, without their dashes, and of the model; those given here override it.",
            valueName: "file"), completion: .file())
    var config: String?

    @OptionGroup var template: ChatTemplateOptions

    @Option(
        help: ArgumentHelp(
            "How answers are drawn where requests don't say: auto reads the generation_config.json beside the model, vllm is temperature 1, anything else is a path to one.",
            valueName: "source"))
    package var generationConfig = GenerationDefaults.auto

    @Option(parsing: .unconditional, help: "Where the seeds of requests without one begin; they are random by default.")
    var seed: UInt64?

    @OptionGroup(title: "Logs") var log: LogOptions
    @OptionGroup(title: "Limits") package var limits: LimitOptions
    @OptionGroup(visibility: .hidden) package var vllm: VLLMOptions

    package func run() async throws {
        let path = try load.model.model.resolve()
        var configuration = listen.configuration(model: load.model.model.name)
        configuration.limits = limits.limits
        configuration.defaultSampling = try generationConfig.parameters(model: path)
        configuration.seed = seed
        configuration.logsRequests = log.enableLogRequests
        configuration.logsAccess = !(log.disableAccessLog || vllm.disableUvicornAccessLog)
        configuration.logger = log.logger(label: "martlet.server")
        if let fewer = try ProcessStart.connections(ofAtMost: configuration.limits.connections) {
            configuration.logger.warning(
                "--max-connections is \(configuration.limits.connections); the system permits files for \(fewer): raise ulimit -n for more"
            )
            configuration.limits.connections = fewer
        }
        let options = try engineOptions(configuration, model: path)
        let server = MartletServer(configuration)
        let stop = StopSignals(logger: configuration.logger) {
            server.shutDown()
            // Loading can't be interrupted, and no client waits for an answer yet.
            if !server.hasModel { Foundation.exit(0) }
        }
        defer { stop.end() }
        for notice in vllm.notices + listen.warnings { configuration.logger.warning("\(notice)") }
        let (logger, limits) = (configuration.logger, configuration.limits)
        logger.debug(
            "limits", metadata: ["limits": "\(limits.all.map { "\($0.name)=\($0.value)" }.joined(separator: " "))"])
        load.model.compute.device.warnOfThreads()
        try await server.run {
            FileFaults.exitCleanly()
            do { return try await Engine.load(path, options: options) } catch let error as EngineError {
                throw error.input()
            }
        } onReady: { [configuration, load] engine, port in
            if load.model.diagnostics.verbose {
                logger.notice("\(engine.model.line)")
            } else {
                logger.info("\(engine.model.shortLine)")
            }
            logger.notice("\(Self.greeting(configuration, port: port))")
        }
        logger.notice("stopped")
        if let (recorder, trace) = options.trace.flatMap({ recorder in
            load.model.diagnostics.trace.map { (recorder, $0) }
        }) {
            try recorder.write(to: trace)
        }
    }

    private func engineOptions(_ configuration: ServerConfiguration, model path: String) throws -> EngineOptions {
        var options = try load.model.engineOptions()
        load.execution.apply(to: &options)
        configuration.limits.apply(to: &options)
        options.logger = configuration.logger
        options.endTokens = try generationConfig.endTokens(model: path)
        options.chatTemplate = try template.source
        return options
    }

    /// Says which models are served, and where.
    private static func greeting(_ configuration: ServerConfiguration, port: Int?) -> String {
        let address =
            switch configuration.address {
            case .tcp(let host, let asked):
                "\(configuration.tls == nil ? "http" : "https")://\(host.contains(":") ? "[\(host)]" : host):\(port ?? asked)"
            case .unix(let path): "unix:\(path)"
            }
        let names = configuration.modelNames.joined(separator: ", ")
        return "serving \(names)\(configuration.apiKeys.isEmpty ? "" : " to clients with an API key") at \(address)"
    }
}

/// The first SIGTERM or SIGINT asks for an end, the second makes one.
private struct StopSignals {
    private let sources: [any DispatchSourceSignal]

    private final class First: Sendable { let time = Mutex<ContinuousClock.Instant?>(nil) }

    /// `timeout` and some supervisors signal twice at once; that is one signal.
    private static let timeOfOneSignal = Duration.milliseconds(100)

    init(logger: Logger, stop: @escaping @Sendable () -> Void) {
        let first = First()
        signal(SIGPIPE, SIG_IGN)
        sources = [SIGTERM, SIGINT].map { number in
            DispatchSource.acting(onSignal: number) {
                let earlier = first.time.withLock { time in
                    defer { time = time ?? .now }
                    return time
                }
                if let earlier {
                    if ContinuousClock.now - earlier > Self.timeOfOneSignal { _exit(128 + number) }
                    return
                }
                logger.notice("stopping: no new requests; a second signal ends at once")
                stop()
            }
        }
    }

    func end() { for source in sources { source.cancel() } }
}
