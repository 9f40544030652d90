// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import MartletFuzz
import MartletTestSupport

struct FuzzConnections: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "connections", abstract: "Random bytes, and damaged HTTP, to a server on this machine.",
        discussion: "After each hundred connections the server must answer a whole request within six seconds.")

    @Option(help: "The server's port.") var port = 8000
    @Option(help: "Connections.") var count = 1000
    @Option(help: "The first connection's seed; the next ones count up.") var seed: UInt64 = 0
    @Option(help: "Connections at a time.") var connections = 8
    @Option(help: "The server's process, whose memory is watched.") var pid: Int?

    func validate() throws {
        guard (1...64).contains(connections), count >= 0 else { throw ValidationError("--connections must be 1 to 64") }
    }

    func run() throws {
        let tally = Tally()
        let (port, count, seed, connections) = (port, count, seed, connections)
        let before = pid.flatMap { ResidentMemory.megabytes(of: "\($0)") }
        tally.onThreads(connections) { thread in
            for (turn, index) in stride(from: thread, to: count, by: connections).enumerated() {
                var random = FuzzRandom(seed: seed &+ UInt64(index))
                if turn % 100 == 99 { tally.add(Self.isAlive(port) ? "alive" : "dead") }
                guard let connection = LoopbackSocket.hasty(port: port) else {
                    tally.add("not connected")
                    continue
                }
                let bytes = Self.bytes(&random)
                let cut = random.chance(3) ? random.below(bytes.count + 1) : bytes.count
                _ = connection.send(Array(bytes[..<cut]))
                // Some leave at once, some read first, some send the rest after that.
                switch random.below(4) {
                case 0: tally.add("left")
                case 1 where cut < bytes.count:
                    _ = connection.send(Array(bytes[cut...]))
                    tally.add(Self.outcome(connection))
                default: tally.add(cut < bytes.count ? "left" : Self.outcome(connection))
                }
            }
        }
        let after = pid.flatMap { ResidentMemory.megabytes(of: "\($0)") }
        print(
            "\(count) connections: \(tally.text)" + (before.map { "; \($0) MB before, \(after ?? 0) MB after" } ?? ""))
        if tally["dead"] + tally["not connected"] > 0 { throw ExitCode.failure }
    }

    private static func isAlive(_ port: Int) -> Bool {
        guard let connection = LoopbackSocket.hasty(port: port) else { return false }
        return connection.send(Array("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n".utf8))
            && connection.status() == 200
    }

    private static func outcome(_ connection: LoopbackSocket) -> String {
        switch connection.receive() {
        case .bytes(let bytes): bytes.starts(with: "HTTP/1.".utf8) ? "answered" : "odd answer"
        case .closed: "closed"
        // A head that isn't whole has its time.
        case .nothing: "waiting"
        }
    }

    /// A request of which something is wrong, or no request at all.
    private static func bytes(_ random: inout FuzzRandom) -> [UInt8] {
        if random.chance(6) { return (0..<random.below(400)).map { _ in UInt8(random.below(256)) } }
        let body = random.pick([
            #"{"prompt":"a","max_tokens":1}"#, "{", "", #"{"prompt":["#, String(repeating: "[", count: 500),
        ])
        let methods = ["GET", "POST", "HEAD", "PUT", "OPTIONS", "CONNECT", "TRACE", "get", "P\u{0}ST", "PRI"]
        let paths = [
            "/", "/health", "/v1/completions", "/v1/models/%2e%2e", "/v1/models/%ff", "*", "http://x/health", "//",
            "/%", "/v1/completions?a=\u{7f}", "",
        ]
        let versions = ["HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/0.9", "HTTP/2.0", "HTTP/9.9", "HTTP/1.1 ", ""]
        var head = "\(random.pick(methods)) \(random.pick(paths)) \(random.pick(versions))\r\n"
        let lengths = ["\(body.utf8.count)", "\(body.utf8.count)", "0", "-1", "99999999999999999999", "5, 5", "0x5"]
        let fields = [
            "Host: localhost", "Host: localhost", "Host:", "Content-Length: \(random.pick(lengths))",
            "Content-Length: \(random.pick(lengths))",
            "Transfer-Encoding: \(random.pick(["chunked", "gzip, chunked", "chunked, chunked", "identity", " chunked"]))",
            "Content-Type: \(random.pick(["application/json", "text/plain", ""]))",
            "Expect: \(random.pick(["100-continue", "x"]))",
            "Connection: \(random.pick(["close", "keep-alive", "Upgrade", "close, keep-alive"]))", "Upgrade: h2c",
            "X\u{0}: y", ": empty",
            "X-A: \(String(repeating: "a", count: random.below(12_000)))", "Authorization: Bearer", "\u{e9}: \u{e9}",
            " folded: line",
        ]
        for _ in 0..<random.below(7) {
            head += random.pick(fields) + random.pick(["\r\n", "\r\n", "\r\n", "\n", "\r"])
        }
        var bytes = Array((head + "\r\n" + body).utf8)
        if random.chance(3) { bytes += bytes }
        for _ in 0..<random.below(3) where !bytes.isEmpty {
            bytes[random.below(bytes.count)] = UInt8(random.below(256))
        }
        return bytes
    }
}
