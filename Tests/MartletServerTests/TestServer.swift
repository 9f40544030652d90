// SPDX-License-Identifier: Apache-2.0

import Foundation
import Logging
import Martlet
import MartletCompute
import MartletServer
import MartletTestSupport
import Synchronization
import Testing

/// Everything over live sockets, one after the other: what they wait for is not how busy their neighbours are.
@Suite(.serialized) struct LiveServerTests {}

/// A server of a tiny model on a port of its own.
final class TestServer: Sendable {
    let server: MartletServer
    let port: Int
    let engine: Engine
    private let task: Task<Void, any Error>

    /// - Parameters:
    ///   - change: how it differs from the default.
    ///   - context: tokens that prompt and answer may have.
    ///   - device: nil for the CPU.
    init(
        context: Int = 256, device: (any ComputeDevice)? = nil,
        _ change: (inout ServerConfiguration, inout EngineOptions) -> Void = { _, _ in }
    ) async throws {
        var tiny = TinyModel()
        tiny.contextLength = context
        let file = try tiny.write()
        var configuration = ServerConfiguration(modelNames: ["tiny", "small"])
        configuration.address = .tcp(host: "127.0.0.1", port: 0)
        configuration.logsAccess = false
        configuration.logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        var options = EngineOptions()
        options.threads = 1
        change(&configuration, &options)
        configuration.limits.apply(to: &options)
        let server = MartletServer(configuration)
        let (started, onStart) = AsyncStream<(Engine, Int)>.makeStream()
        let path = file.path
        task = Task { [options] in
            defer { onStart.finish() }
            try await server.run {
                guard let device else { return try await Engine.load(path, options: options) }
                return try await Engine.start(options) {
                    try ModelLoader(path: path, options: options).load(on: device)
                }
            } onReady: { engine, port in
                onStart.yield((engine, port ?? 0))
            }
        }
        self.server = server
        var iterator = started.makeAsyncIterator()
        guard let (engine, port) = await iterator.next() else {
            try await task.value
            throw RawClient.Fault(description: "the server ended at once")
        }
        (self.engine, self.port) = (engine, port)
    }

    /// Tells the server to stop and waits for its end.
    func stop() async throws {
        server.shutDown()
        try await task.value
    }

    /// Waits for the server's own end.
    func ended() async throws { try await task.value }

    func client(receiveBuffer: Int32? = nil) throws -> RawClient {
        try RawClient(port: port, receiveBuffer: receiveBuffer)
    }

    func post(_ path: String, _ body: String) async throws -> RawClient.Answer {
        let client = try client()
        try await client.send(RawClient.post(path, body))
        return try await client.answer()
    }

    func get(_ path: String, headers: String = "") async throws -> RawClient.Answer {
        let client = try client()
        try await client.send(RawClient.get(path, headers: headers))
        return try await client.answer()
    }

    /// The texts of a stream's events, but the last.
    func events(_ path: String, _ body: String) async throws -> [[String: Any]] {
        let answer = try await post(path, body)
        #expect(answer.status == 200, "\(answer.body)")
        #expect(answer.body.hasSuffix("data: [DONE]\n\n"))
        return answer.body.split(separator: "\n").compactMap { line in
            guard line.hasPrefix("data: {") else { return nil }
            return (try? JSONSerialization.jsonObject(with: Data(line.dropFirst(6).utf8))) as? [String: Any]
        }
    }

    /// Waits until the engine does nothing and holds nothing; then all must be free again.
    func expectIdle(_ location: SourceLocation = #_sourceLocation) async throws {
        for _ in 0..<500 {
            let now = engine.statistics
            if now.running == 0, now.waiting == 0, now.freeBlocks == now.blocks { break }
            try await Task.sleep(for: .milliseconds(10))
        }
        let now = engine.statistics
        #expect(now.running == 0 && now.waiting == 0, sourceLocation: location)
        #expect(now.freeBlocks == now.blocks, "cache blocks are still held", sourceLocation: location)
        let health = try await get("/health")
        #expect(health.status == 200, sourceLocation: location)
    }

    /// Waits for something to become true.
    func wait(
        _ what: String, _ location: SourceLocation = #_sourceLocation, until condition: (EngineStatistics) -> Bool
    ) async throws {
        for _ in 0..<1000 {
            if condition(engine.statistics) { return }
            try await Task.sleep(for: .milliseconds(5))
        }
        Issue.record("\(what) didn't happen", sourceLocation: location)
    }
}
