// SPDX-License-Identifier: Apache-2.0

import Hummingbird
import HummingbirdCore
import HummingbirdTLS
import Logging
public import Martlet
import NIOCore
import ServiceLifecycle
import Synchronization

/// Why an engine ended by itself; nil while it didn't.
private final class EngineFailure: Sendable {
    let error = Mutex<EngineError?>(nil)
}

/// Serves an engine over HTTP, as OpenAI's clients and vLLM's users expect it.
///
/// It answers from the moment that it listens; what needs the model is refused with 503 until that is loaded.
public final class MartletServer: Sendable {
    /// Connections beyond `ServerLimits.connections`, on which probes are answered while all others are busy.
    public static let reservedConnections = 32
    /// What it was made with.
    public let configuration: ServerConfiguration
    private let state: ServerState
    private let stopping: AsyncStream<Void>
    private let stop: AsyncStream<Void>.Continuation

    /// A server that doesn't listen yet.
    public init(_ configuration: ServerConfiguration) {
        self.configuration = configuration
        state = ServerState(configuration)
        (stopping, stop) = AsyncStream.makeStream(bufferingPolicy: .bufferingOldest(1))
    }

    /// Serves until it is told to stop and what was under way has been answered, or its time is over.
    ///
    /// - Parameters:
    ///   - load: makes the engine; called once the server listens.
    ///   - onReady: called with the engine and the port, nil for a Unix domain socket.
    /// - Throws: what `load` throws, why it can't listen, and `EngineError.Code.deviceLost` where the engine ended by itself.
    public func run(
        loading load: @escaping @Sendable () async throws -> Engine,
        onReady: @escaping @Sendable (Engine, Int?) -> Void = { _, _ in }
    ) async throws {
        if let fault = configuration.limits.fault { throw ConfigurationError(description: fault) }
        let socket = try configuration.address.claim()
        defer { withExtendedLifetime(socket) {} }
        // Why the engine ended by itself. Thrown at the end: clients are told first.
        let failure = EngineFailure()
        let (listening, isListening) = AsyncStream<Int?>.makeStream()
        let application = try Application(
            responder: routes, server: channel(), configuration: applicationConfiguration,
            onServerRunning: { isListening.yield($0.localAddress?.port) }, logger: quietLogger)
        let group = ServiceGroup(
            configuration: .init(services: [.init(service: application)], logger: quietLogger))
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { [configuration] in
                defer { isListening.finish() }
                do {
                    try await group.run()
                } catch let error as IOError {
                    throw ConfigurationError(cannotListenAt: configuration.address, error)
                } catch  where error is SocketAddressError || error is SocketAddressError.UnknownHost {
                    throw ConfigurationError(cannotResolve: configuration.address)
                }
            }
            tasks.addTask { [self] in
                var ports = listening.makeAsyncIterator()
                guard let port = await ports.next() else { return }
                let engine = try await load()
                state.served.attach(engine)
                if !state.served.isDraining { onReady(engine, port) }
                let watch = Task { [stop] in
                    // An engine that ends by itself ends the server.
                    do { try await engine.waitForEnd() } catch { stop.yield() }
                }
                defer { watch.cancel() }
                var stops = stopping.makeAsyncIterator()
                _ = await stops.next()
                await engine.stop(drain: .seconds(configuration.limits.drainSeconds))
                await group.triggerGracefulShutdown()
                do throws(EngineError) { try await engine.waitForEnd() } catch { failure.error.withLock { $0 = error } }
            }
            try await tasks.next()
            // Answers are complete by now. Clients that haven't taken theirs have five seconds.
            tasks.addTask { try? await Task.sleep(for: .seconds(5)) }
            try await tasks.next()
            tasks.cancelAll()
        }
        if let error = failure.error.withLock({ $0 }) { throw error }
    }

    /// Whether the model is loaded; before that a server has nothing to finish.
    public var hasModel: Bool { state.served.current != nil }

    /// Refuses new requests, gives those under way the time that the limits say, and ends.
    public func shutDown() {
        state.served.beginDraining()
        stop.yield()
    }

    private var routes: RouteTable {
        RouteTable(
            Route.all(state),
            log: RequestLog(
                metrics: state.metrics, logsAccess: configuration.logsAccess, logger: configuration.logger),
            keys: APIKeys(configuration.apiKeys), hosts: AllowedHosts(configuration))
    }

    private func channel() throws -> HTTPServerBuilder {
        let limits = configuration.limits
        let registry = ConnectionRegistry(limit: limits.connections)
        let http = HTTPServerBuilder { ServerConnection(responder: $0, limits: limits, registry: registry) }
        guard let tls = configuration.tls else { return http }
        return try .tls(http, tlsConfiguration: tls.configuration())
    }

    private var applicationConfiguration: ApplicationConfiguration {
        let address: BindAddress =
            switch configuration.address {
            case .tcp(let host, let port): .hostname(host, port: port)
            case .unix(let path): .unixDomainSocket(path: path)
            }
        return ApplicationConfiguration(
            address: address, serverName: "martlet",
            availableConnectionsDelegate: MaximumAvailableConnections(
                configuration.limits.connections + ConnectionRegistry.reserve, logger: quietLogger))
    }

    /// For the libraries below: a connection's errors are of no interest, and what ends the server is thrown.
    private var quietLogger: Logger {
        var logger = configuration.logger
        logger.logLevel = .critical
        return logger
    }
}
