// SPDX-License-Identifier: Apache-2.0

import Foundation
import Logging
import Martlet
import MartletServer
import Testing

extension LiveServerTests {
    /// Clients that dawdle, leave or don't listen; after each of them nothing is held.
    @Suite struct ConnectionTests {
        private static func body(tokens: Int, stream: Bool = true, prompt: Int = 4, extra: String = "") -> String {
            #"{"prompt":\#(Array(repeating: 72, count: prompt)),"max_tokens":\#(tokens),"ignore_eos":true,"stream":\#(stream)\#(extra)}"#
        }

        @Test func saysWhoHasThePort() async throws {
            let server = try await TestServer()
            let error = await #expect(throws: ConfigurationError.self) {
                _ = try await TestServer { configuration, _ in
                    configuration.address = .tcp(host: "127.0.0.1", port: server.port)
                }
            }
            #expect(
                error?.description
                    == "can't listen at 127.0.0.1:\(server.port): it is in use by another program; stop that one or choose another port"
            )
            try await server.stop()
        }

        @Test func drippedHeadersAndBodiesAreCutOff() async throws {
            let server = try await TestServer { configuration, _ in configuration.limits.readSeconds = 1.5 }
            let clock = ContinuousClock()
            let post = RawClient.post("/v1/completions", Self.body(tokens: 2))
            // A byte now and then keeps no connection open: what counts is the time of the whole.
            for text in [String(post.prefix(40)), String(post.prefix(post.count - 20))] {
                let client = try server.client()
                let start = clock.now
                if text.contains("\r\n\r\n") {
                    try await client.send(String(text.prefix(text.count - 30)))
                    await client.drip(String(text.suffix(30)), every: .milliseconds(150))
                } else {
                    await client.drip(text, every: .milliseconds(150))
                }
                #expect(try await client.receiveAll().isEmpty)
                #expect(clock.now - start < .seconds(10))
            }
            // Nor does silence, from the start or behind a request that was refused before it had come whole.
            let silent = try server.client()
            let start = clock.now
            #expect(try await silent.receiveAll().isEmpty)
            let early = try server.client()
            try await early.send("POST /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n")
            #expect(try await early.answer().status == 404)
            try await early.send("0123456789")
            #expect(try await early.receiveAll().isEmpty)
            #expect(clock.now - start < .seconds(15))
            // Who is quick between two requests may stay.
            let steady = try server.client()
            for _ in 0..<4 {
                try await steady.send(RawClient.get("/health"))
                #expect(try await steady.answer().status == 200)
                try await Task.sleep(for: .milliseconds(500))
            }
            try await server.expectIdle()
            try await server.stop()
        }

        enum Leaving: CaseIterable { case closed, halfClosed }

        @Test(arguments: Leaving.allCases) func leavingEndsARequestInEveryPhase(_ way: Leaving) async throws {
            let server = try await TestServer(context: 100_000) { _, options in
                options.maxNumSeqs = 1
                options.maxNumBatchedTokens = 16
                options.enablePrefixCaching = false
            }
            func leave(_ client: RawClient) { way == .closed ? client.leave() : client.closeSending() }
            for stream in [true, false] {
                // While it is answered: in a stream, the first pieces have come.
                let answered = try server.client()
                try await answered.send(RawClient.post("/v1/completions", Self.body(tokens: 90_000, stream: stream)))
                if stream { _ = try await answered.receive() }
                try await server.wait("an answer") { $0.generatedTokens > 0 && $0.running == 1 }
                // While it is queued behind that.
                let queued = try server.client()
                try await queued.send(RawClient.post("/v1/completions", Self.body(tokens: 90_000, stream: stream)))
                try await server.wait("a queue") { $0.waiting == 1 }
                leave(queued)
                try await server.wait("the queue's end") { $0.waiting == 0 }
                #expect(server.engine.statistics.running == 1)
                leave(answered)
                try await server.expectIdle()
                // While its prompt is read.
                let read = try server.client()
                let before = server.engine.statistics.work.tokens
                try await read.send(
                    RawClient.post("/v1/completions", Self.body(tokens: 10, stream: stream, prompt: 60_000)))
                try await server.wait("a prompt") { $0.work.tokens > before + 64 }
                leave(read)
                try await server.expectIdle()
                #expect(server.engine.statistics.work.tokens < before + 60_000)
            }
            // A request whose header or body never comes whole holds nothing either.
            for length in [30, 120] {
                let early = try server.client()
                try await early.send(String(RawClient.post("/v1/completions", Self.body(tokens: 9)).prefix(length)))
                leave(early)
            }
            try await server.expectIdle()
            let text = try await server.get("/metrics").body
            #expect(text.contains(#"finished_reason="abort"} 6"#), "\(text)")
            try await server.stop()
        }

        @Test func whoDoesNotReadIsCutOff() async throws {
            let server = try await TestServer(context: 100_000) { configuration, _ in
                configuration.limits.stallSeconds = 0.5
                configuration.limits.request.unreadBytes = 64 << 10
            }
            let client = try server.client(receiveBuffer: 4096)
            try await client.send(
                RawClient.post("/v1/completions", Self.body(tokens: 20_000, extra: #","logprobs":20,"n":2"#)))
            try await server.wait("an answer") { $0.generatedTokens > 0 }
            try await server.expectIdle()
            #expect(server.engine.statistics.generatedTokens < 40_000)
            try await server.stop()
        }

        @Test func aSilentStreamIsKeptAlive() async throws {
            let server = try await TestServer(context: 100_000) { configuration, options in
                options.maxNumSeqs = 1
                configuration.limits.keepAliveSeconds = 0.1
            }
            let first = try server.client()
            try await first.send(RawClient.post("/v1/completions", Self.body(tokens: 90_000)))
            try await server.wait("an answer") { $0.running == 1 }
            let second = try server.client()
            try await second.send(RawClient.post("/v1/completions", Self.body(tokens: 2)))
            var text = ""
            while !text.contains(": keep-alive\n\n: keep-alive") {
                let bytes = try await second.receive()
                guard !bytes.isEmpty else { break }
                // The chunks' own lines stand between the comments.
                text += String(decoding: bytes, as: UTF8.self).split(separator: "\r\n").filter {
                    Int($0, radix: 16) == nil
                }
                .joined()
            }
            #expect(text.contains(": keep-alive"))
            first.leave()
            while !text.contains("data: [DONE]"), case let bytes = try await second.receive(), !bytes.isEmpty {
                text += String(decoding: bytes, as: UTF8.self)
            }
            #expect(text.contains("data: [DONE]"))
            second.leave()
            try await server.expectIdle()
            try await server.stop()
        }

        @Test func aRequestHasSoMuchTime() async throws {
            let server = try await TestServer(context: 100_000) { configuration, _ in
                configuration.limits.requestSeconds = 0.3
            }
            let whole = try await server.post("/v1/completions", Self.body(tokens: 90_000, stream: false))
            #expect(whole.status == 408 && whole.error?["code"] as? String == "request_timeout")
            let stream = try await server.post("/v1/completions", Self.body(tokens: 90_000))
            #expect(
                stream.status == 200 && stream.body.contains("request_timeout")
                    && stream.body.hasSuffix("data: [DONE]\n\n")
            )
            try await server.expectIdle()
            try await server.stop()
        }

        @Test func moreThanTheQueueHoldsIsRefused() async throws {
            let server = try await TestServer(context: 100_000) { configuration, options in
                configuration.limits.request.queuedRequests = 2
                options.maxNumSeqs = 1
            }
            let clients = try (0..<2).map { _ in try server.client() }
            for client in clients {
                try await client.send(RawClient.post("/v1/completions", Self.body(tokens: 90_000)))
            }
            try await server.wait("a queue") { $0.waiting == 1 }
            let refused = try await server.post("/v1/completions", Self.body(tokens: 2))
            #expect(refused.status == 503 && refused.headers.lowercased().contains("retry-after: 1"))
            for client in clients { client.leave() }
            try await server.expectIdle()
            #expect(try await server.post("/v1/completions", Self.body(tokens: 2)).status == 200)
            try await server.stop()
        }

        @Test func keysOpenEveryRouteButHealth() async throws {
            let server = try await TestServer { configuration, _ in configuration.apiKeys = ["sesame", "kümmel"] }
            let state = ServerState(server.server.configuration)
            for route in Route.all(state) {
                let path = route.path.replacingOccurrences(of: "{name}", with: "tiny")
                func status(_ headers: String) async throws -> Int {
                    let client = try server.client()
                    let request =
                        route.method == .post
                        ? RawClient.post(path, "{}", headers: "Content-Type: application/json\r\n\(headers)")
                        : RawClient.get(path, headers: headers)
                    try await client.send(request)
                    return try await client.answer().status
                }
                let isOpen = path == "/health"
                for wrong in [
                    "", "Authorization: Bearer\r\n", "Authorization: Bearer \r\n", "Authorization: Bearer sesam\r\n",
                    "Authorization: Bearer sesamee\r\n", "Authorization: sesame\r\n",
                    "Authorization: Basic c2VzYW1l\r\n",
                    "Authorization: Basic !!\r\n", "X-Api-Key: sesame\r\n",
                ] {
                    #expect(try await status(wrong) == (isOpen ? 200 : 401), "\(path) \(wrong)")
                }
                for right in [
                    "Authorization: Bearer sesame\r\n", "authorization: bearer kümmel\r\n",
                    "Authorization: Bearer  sesame\r\n",
                    "Authorization: Basic \(Data("x:sesame".utf8).base64EncodedString())\r\n",
                ] {
                    #expect(try await status(right) != 401, "\(path) \(right)")
                }
            }
            // Nor do spellings of the open route open another, or a route that isn't there.
            for path in [
                "/health/../metrics", "//metrics", "/health%2f..%2fmetrics", "/nowhere", "/health?/metrics/x",
                "/Health",
            ] {
                let status = try await server.get(path).status
                #expect(status == (path.hasPrefix("/health?") ? 200 : 401), "\(path)")
            }
            try await server.stop()
        }

        @Test func aServerThatIsToldToStopFinishesWhatItHas() async throws {
            let server = try await TestServer(context: 2000)
            let client = try server.client()
            let idle = try server.client()
            try await idle.send(RawClient.get("/health"))
            #expect(try await idle.answer().status == 200)
            try await client.send(RawClient.post("/v1/completions", Self.body(tokens: 1500)))
            try await server.wait("an answer") { $0.generatedTokens > 0 }
            server.server.shutDown()
            // It says so meanwhile to every client.
            #expect(try await server.get("/ready").status == 503)
            #expect(try await server.get("/health").status == 200)
            let refused = try await server.post("/v1/completions", Self.body(tokens: 2))
            #expect(refused.status == 503, "\(refused.body)")
            let text = try await client.receiveAll()
            #expect(text.contains("data: [DONE]") && text.contains(#""finish_reason":"length""#))
            try await server.stop()
            #expect(throws: RawClient.Fault.self) { try server.client() }
        }

        @Test func drainingHasItsTime() async throws {
            let server = try await TestServer(context: 100_000) { configuration, _ in
                configuration.limits.drainSeconds = 0.3
            }
            let client = try server.client()
            try await client.send(RawClient.post("/v1/completions", Self.body(tokens: 90_000)))
            try await server.wait("an answer") { $0.generatedTokens > 0 }
            let clock = ContinuousClock()
            let start = clock.now
            async let text = client.receiveAll()
            try await server.stop()
            #expect(clock.now - start < .seconds(8))
            #expect(try await text.contains("the engine has stopped"))
        }

        @Test func aModelThatCannotBeLoadedEndsTheServer() async throws {
            var configuration = ServerConfiguration(modelNames: ["none"])
            configuration.address = .tcp(host: "127.0.0.1", port: 0)
            configuration.logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
            let server = MartletServer(configuration)
            await #expect(throws: (any Error).self) {
                try await server.run { try await Engine.load("/nowhere.gguf") }
            }
        }
    }
}
