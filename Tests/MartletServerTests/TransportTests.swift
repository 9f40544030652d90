// SPDX-License-Identifier: Apache-2.0

import Foundation
import Logging
import Martlet
import MartletServer
import MartletTestSupport
import Testing

extension LiveServerTests {
    /// How clients reach the server: HTTP's rules, paths, connections, sockets and TLS.
    @Suite struct TransportTests {
        @Test func clientsThatWaitForLeaveGetIt() async throws {
            let server = try await TestServer()
            let client = try server.client()
            let body = #"{"prompt":"a","max_tokens":1}"#
            let head =
                "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: \(body.utf8.count)\r\n"
            try await client.send(head + "Expect: 100-continue\r\n\r\n")
            let first = String(decoding: try await client.receive(), as: UTF8.self)
            #expect(first == "HTTP/1.1 100 Continue\r\n\r\n")
            try await client.send(body)
            #expect(try await client.answer().status == 200)
            // The same connection again, and a client that doesn't wait.
            try await client.send(head + "Expect: 100-continue\r\n\r\n" + body)
            let second = try await client.receiveUntil("}}}")
            #expect(second.contains("HTTP/1.1 200 OK"))
            // What is refused by its head needs no body.
            let refused = try server.client()
            try await refused.send(
                "POST /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n")
            let answer = try await refused.receiveAll()
            #expect(answer.hasPrefix("HTTP/1.1 404") && answer.lowercased().contains("connection: close"))
            let other = try server.client()
            try await other.send(head + "Expect: miracles\r\n\r\n" + body)
            #expect(try await other.answer().status == 417)
            try await server.stop()
        }

        @Test func http10IsAnsweredInItsOwnWay() async throws {
            let server = try await TestServer()
            let body = #"{"prompt":"a","max_tokens":2,"stream":true}"#
            let client = try server.client()
            try await client.send(
                "POST /v1/completions HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
            )
            let answer = try await client.receiveAll()
            #expect(answer.hasPrefix("HTTP/1.0 200") && answer.hasSuffix("data: [DONE]\n\n"), "\(answer)")
            #expect(!answer.lowercased().contains("transfer-encoding"))
            try await server.stop()
        }

        @Test func headsThatBreakTheRulesAreRefused() async throws {
            let server = try await TestServer()
            for (head, status) in [
                ("GET /health HTTP/1.1\r\n\r\n", 400),
                ("GET /health HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", 400),
                (
                    "POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
                    501
                ),
                ("GET /health HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403),
                ("GET /health HTTP/1.1\r\nHost: localhost:1\r\n\r\n", 200),
                ("GET /health HTTP/1.1\r\nHost: localhost:80@evil.example\r\n\r\n", 403),
                ("GET http://evil.example/health HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
                ("GET http://localhost/health HTTP/1.1\r\nHost: localhost\r\n\r\n", 200),
                ("GET /health HTTP/1.1\r\nHost: [::1]:8000\r\n\r\n", 200),
                ("GET /health HTTP/1.1\r\nHost: localhost\r\nx-martlet-refusal: busy\r\n\r\n", 200),
            ] {
                let client = try server.client()
                try await client.send(head)
                let answer = try await client.answer()
                #expect(answer.status == status, "\(head): \(answer.headers) \(answer.body)")
                #expect(status == 200 || answer.error != nil)
            }
            try await server.stop()
            let named = try await TestServer { configuration, _ in configuration.allowedHosts = ["box.lan"] }
            let client = try named.client()
            try await client.send("GET /health HTTP/1.1\r\nHost: BOX.lan:8000\r\n\r\n")
            #expect(try await client.answer().status == 200)
            try await named.stop()
        }

        @Test func pathsAreComparedDecoded() async throws {
            let server = try await TestServer { configuration, _ in configuration.modelNames = ["org/name"] }
            for path in [
                "/v1/models/org%2Fname", "/v1/models/org/name", "/v1/%6dodels/org%2fname", "/v1/models/org%2Fname/",
            ] {
                #expect(try await server.get(path).json?["id"] as? String == "org/name", "\(path)")
            }
            #expect(try await server.get("/v1/models/").status == 200)
            for path in ["/v1/models/other", "/v1/models/%ff", "/v1/models/%2"] {
                #expect(try await server.get(path).status == 404, "\(path)")
            }
            let client = try server.client()
            try await client.send("DELETE /v1/completions HTTP/1.1\r\nHost: localhost\r\n\r\n")
            let answer = try await client.answer()
            #expect(answer.status == 405 && answer.headers.contains("Allow: POST"))
            // An error to HEAD has no body, so the next answer is the next request's.
            try await client.send("HEAD /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n")
            #expect(try await client.receiveUntil("\r\n\r\n").hasPrefix("HTTP/1.1 404"))
            try await client.send(RawClient.get("/health"))
            #expect(try await client.answer().status == 200)
            try await server.stop()
            let locked = try await TestServer { configuration, _ in configuration.apiKeys = ["k"] }
            for path in ["/health", "/health/", "/%68ealth"] {
                #expect(try await locked.get(path).status == 200, "\(path)")
            }
            #expect(try await locked.get("/metrics/").status == 401)
            try await locked.stop()
        }

        @Test func keptConnectionsSayForHowLong() async throws {
            let server = try await TestServer { configuration, _ in configuration.limits.readSeconds = 7 }
            #expect(try await server.get("/health").headers.lowercased().contains("keep-alive: timeout=6"))
            try await server.stop()
        }

        /// Idle connections make room, and probes are answered whatever the others do.
        @Test func idleConnectionsMakeRoom() async throws {
            let server = try await TestServer(context: 100_000) { configuration, _ in
                configuration.limits.connections = 4
            }
            let idle = try (0..<12).map { _ in try server.client() }
            for client in idle { try? await client.send("GET /hea") }
            #expect(try await server.get("/health").status == 200)
            let long = #"{"prompt":[72],"max_tokens":90000,"ignore_eos":true,"stream":true}"#
            let busy = try (0..<4).map { _ in try server.client() }
            for client in busy {
                try await client.send(RawClient.post("/v1/completions", long))
                _ = try await client.receive()
            }
            #expect(try await server.get("/ready").status == 200)
            #expect(try await server.post("/v1/completions", #"{"prompt":"a","max_tokens":1}"#).status == 503)
            for client in busy { client.leave() }
            try await server.expectIdle()
            #expect(try await server.post("/v1/completions", #"{"prompt":"a","max_tokens":1}"#).status == 200)
            try await server.stop()
        }

        /// A connection that makes room for others has its answer first, and one that is refused holds no place.
        @Test func connectionsAreClosedBehindTheirAnswers() async throws {
            let server = try await TestServer { configuration, _ in configuration.limits.connections = 4 }
            let body = #"{"prompt":"a"}"#
            let request = RawClient.post("/tokenize", body)
            let clients = try (0..<4).map { _ in try server.client() }
            for client in clients { try await client.send(String(request.dropLast(5))) }
            try await Task.sleep(for: .milliseconds(100))
            // While one more is open, whatever becomes idle is closed.
            let idle = try server.client()
            try await Task.sleep(for: .milliseconds(100))
            for client in clients {
                try await client.send(String(request.suffix(5)))
                #expect(try await client.answer().status == 200)
            }
            idle.leave()
            let busy = try (0..<4).map { _ in try server.client() }
            for client in busy { try await client.send(String(request.dropLast(5))) }
            try await Task.sleep(for: .milliseconds(100))
            let start = ContinuousClock.now
            let refused = try (0..<ConnectionRegistry.reserve).map { _ in try server.client() }
            for client in refused { try await client.send(String(request.dropLast(5))) }
            for (index, client) in refused.enumerated() {
                let answer = try await client.receiveAll()
                #expect(answer.hasPrefix("HTTP/1.1 503"), "\(index): \(answer)")
            }
            #expect(ContinuousClock.now - start < .seconds(10))
            try await Task.sleep(for: .seconds(1.2))
            #expect(try await server.get("/health").status == 200)
            // Until here they are busy.
            for client in busy { client.leave() }
            try await server.stop()
        }

        @Test func aSocketIsOneServersAlone() async throws {
            let path = FileManager.default.temporaryDirectory.appending(path: "martlet-\(UUID().uuidString).sock").path
            func start() async throws -> MartletServer {
                var configuration = ServerConfiguration(modelNames: ["tiny"])
                configuration.address = .unix(path)
                configuration.logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
                return MartletServer(configuration)
            }
            let file = try TinyModel().write()
            let model = file.path
            let first = try await start()
            let (ready, onReady) = AsyncStream<Void>.makeStream()
            let task = Task {
                try await first.run {
                    try await Engine.load(model)
                } onReady: { _, _ in
                    onReady.yield()
                }
            }
            var iterator = ready.makeAsyncIterator()
            _ = await iterator.next()
            let second = try await start()
            let error = await #expect(throws: ConfigurationError.self) {
                try await second.run { try await Engine.load(model) }
            }
            #expect(error?.description.contains("in use") == true)
            #expect(
                FileManager.default.fileExists(atPath: path) && FileManager.default.fileExists(atPath: path + ".lock"))
            // A third one is refused like the second.
            #expect(throws: ConfigurationError.self) { try SocketClaim(path) }
            first.shutDown()
            try await task.value
            #expect(
                !FileManager.default.fileExists(atPath: path) && !FileManager.default.fileExists(atPath: path + ".lock")
            )
            for (path, words) in [
                ("/" + String(repeating: "x", count: 200), "bytes"), (model, "no socket"),
                ("/nowhere/x.sock", "No such file"),
            ] {
                #expect(throws: ConfigurationError.self) { try SocketClaim(path) }
                do { _ = try SocketClaim(path) } catch { #expect(error.description.contains(words), "\(error)") }
            }
            withExtendedLifetime(file) {}
        }

        @Test func oldTLSIsRefused() throws {
            #expect(throws: ConfigurationError.self) {
                try ServerConfiguration.TLS(certificate: "/no.pem", key: "/no.pem").configuration()
            }
            let file = try TemporaryFile(Array("nonsense".utf8), name: "x.pem")
            let error = #expect(throws: ConfigurationError.self) {
                try ServerConfiguration.TLS(certificate: file.path, key: file.path).configuration()
            }
            #expect(error?.description.contains(file.path) == true)
        }
    }
}
