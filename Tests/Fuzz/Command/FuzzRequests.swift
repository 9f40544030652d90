// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import MartletFuzz
import MartletTestSupport

struct FuzzRequests: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "requests", abstract: "Random requests to a server on this machine.",
        discussion: """
            Bodies are made of the fields that Docs/HTTP.md lists, with extreme values. A request that isn't answered within \
            six seconds, or a server error, is reported.
            """)

    @Option(help: "The server's port.") var port = 8000
    @Option(help: "Requests.") var count = 10_000
    @Option(help: "The first request's seed; the next ones count up.") var seed: UInt64 = 0
    @Option(help: "Connections at a time.") var connections = 8
    @Option(help: "The list of routes and fields.") var fields = "Docs/HTTP.md"
    @Option(help: "The server's process, whose memory is watched.") var pid: Int?

    func validate() throws {
        guard (1...64).contains(connections), count >= 0 else { throw ValidationError("--connections must be 1 to 64") }
    }

    func run() throws {
        let generator = try RequestGenerator(document: String(contentsOfFile: fields, encoding: .utf8))
        let tally = Tally()
        let (port, count, seed, connections) = (port, count, seed, connections)
        let before = pid.flatMap { ResidentMemory.megabytes(of: "\($0)") }
        tally.onThreads(connections) { thread in
            var connection: LoopbackSocket?
            for index in stride(from: thread, to: count, by: connections) {
                var random = FuzzRandom(seed: seed &+ UInt64(index))
                let request = generator.request(&random)
                if connection == nil { connection = LoopbackSocket.hasty(port: port) }
                guard let open = connection else {
                    tally.add("not connected")
                    continue
                }
                guard open.send(Array(request.utf8)), let status = open.status() else {
                    tally.add("closed")
                    connection = nil
                    continue
                }
                tally.add(status < 0 ? "unanswered" : "\(status)")
                if status < 0 || status == 500 {
                    print("seed \(seed &+ UInt64(index)): \(status) \(request.prefix(400).debugDescription)")
                    connection = nil
                }
            }
        }
        let after = pid.flatMap { ResidentMemory.megabytes(of: "\($0)") }
        print("\(count) requests: \(tally.text)" + (before.map { "; \($0) MB before, \(after ?? 0) MB after" } ?? ""))
        if tally["unanswered"] + tally["500"] + tally["not connected"] > 0 { throw ExitCode.failure }
    }
}

/// Requests made of the tables in a document.
struct RequestGenerator: Sendable {
    private let routes: [(path: String, fields: [String])]

    init(document: String) throws {
        var routes: [(path: String, fields: [String])] = []
        for line in document.split(separator: "\n") {
            if line.hasPrefix("## ") {
                routes.append((line.hasPrefix("## POST ") ? String(line.dropFirst(8)) : "", []))
            } else if line.hasPrefix("| `"), let name = line.dropFirst(3).split(separator: "`").first, !routes.isEmpty {
                routes[routes.count - 1].fields.append(String(name))
            }
        }
        self.routes = routes.filter { !$0.path.isEmpty && !$0.fields.isEmpty }
        guard !self.routes.isEmpty else { throw ValidationError("the document lists no routes") }
    }

    func request(_ random: inout FuzzRandom) -> String {
        let route = random.pick(routes)
        var members = [String]()
        if random.below(10) > 0 {
            members.append(
                route.path.contains("chat")
                    ? #""messages":[{"role":"user","content":\#(text(&random))}]"#
                    : route.path.contains("detok") ? #""tokens":[1,2,3]"# : #""prompt":\#(text(&random))"#)
            if random.below(4) > 0 { members.append(#""max_tokens":\#(random.pick(["1", "2", "3"]))"#) }
        }
        for _ in 0..<(1 + random.below(3)) {
            let name =
                random.chance(12)
                ? random.pick(["nope", "tools", "grammar", "", "logprobs\\u0000"]) : random.pick(route.fields)
            if !members.contains(where: { $0.hasPrefix("\"\(name)\"") }) {
                members.append("\"\(name)\":\(value(&random, 3))")
            }
        }
        // An answer without a length would take as long as its context.
        if !members.contains(where: { $0.hasPrefix("\"max_") }), !route.path.contains("token") {
            members.append(#""max_tokens":1"#)
        }
        var body = "{" + members.joined(separator: ",") + "}"
        if random.chance(20) { body = String(body.prefix(random.below(max(1, body.utf8.count)))) }
        let type = random.chance(40) ? "text/plain" : "application/json"
        return
            "POST \(route.path) HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: \(type)\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
    }

    private func text(_ random: inout FuzzRandom) -> String {
        random.pick([
            #""hi""#, #""<|im_start|>user\n<|im_end|>""#, #""\u0000\uffff""#, #""é\ud83d\ude00""#, #""""#,
            "\"\(String(repeating: "a ", count: 40))\"",
            #""{{ 7*7 }}{% raw %}""#, #""\u0301\u0316\u0301\u0316""#,
        ])
    }

    private func value(_ random: inout FuzzRandom, _ depth: Int) -> String {
        switch random.below(depth > 0 ? 10 : 7) {
        case 0, 1:
            return random.pick([
                "0", "1", "-1", "2", "20", "21", "9223372036854775807", "-9223372036854775808", "18446744073709551615",
                "2147483647", "2147483648",
                "-2147483649", "4294967296", "1e308", "-1e308", "1e-320", "0.5", "-0.0", "1e19", "65536",
            ])
        case 2: return random.pick(["true", "false", "null"])
        case 3: return text(&random)
        case 4: return "\"\(random.pick(["stop", "auto", "none", "9223372036854775807", "NaN", "-1", "user"]))\""
        case 5:
            return
                #"{"\#(random.pick(["0", "1", "-1", "999999", "9223372036854775807", "x", "include_usage", "type"]))":\#(random.pick(["100", "-100", "1e300", "true", "null"]))}"#
        case 6:
            return
                "[\((0..<random.below(4)).map { _ in "\(random.pick([0, 1, 5, 255, -1, 1 << 31]))" }.joined(separator: ","))]"
        case 7, 8: return "[\((0..<random.below(3)).map { _ in value(&random, depth - 1) }.joined(separator: ","))]"
        default: return #"{"role":\#(value(&random, depth - 1)),"content":\#(value(&random, depth - 1))}"#
        }
    }
}
