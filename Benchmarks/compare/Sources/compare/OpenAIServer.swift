// SPDX-License-Identifier: Apache-2.0

import AsyncHTTPClient
import Foundation
import NIOCore

/// A server that speaks OpenAI's completions: vLLM, llama.cpp's, or any other.
struct OpenAIServer: Contender {
    let name: String
    /// Without `/v1`.
    let url: String
    /// As the server calls the first that it lists.
    let model: String
    private let client: HTTPClient

    /// - Parameter connections: as many requests as will be open at once.
    init(name: String, url: String, connections: Int) async throws {
        // A long prompt may leave a stream silent for minutes.
        var configuration = HTTPClient.Configuration(timeout: .init(connect: .seconds(10), read: .minutes(30)))
        configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = max(8, connections)
        client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
        self.name = name
        self.url = url.hasSuffix("/") ? String(url.dropLast()) : url
        do {
            let response = try await client.execute(
                HTTPClientRequest(url: self.url + "/v1/models"), timeout: .seconds(30))
            let body = Data(try await response.body.collect(upTo: 1 << 20).readableBytesView)
            guard let first = try JSONDecoder().decode(ModelList.self, from: body).data.first else {
                throw ContenderError(description: "\(url) serves no model")
            }
            model = first.id
        } catch {
            try await client.shutdown()
            throw ContenderError(description: "\(url) doesn't answer as an OpenAI-compatible server: \(error)")
        }
    }

    func end() async throws { try await client.shutdown() }

    private struct ModelList: Decodable {
        struct Model: Decodable { let id: String }
        let data: [Model]
    }

    private struct Body: Encodable {
        let model: String
        let prompt: [Int32]
        let maxTokens: Int
        let temperature = 0.0
        let ignoreEndToken = true
        let stream = true
        let streamOptions = ["include_usage": true]

        enum CodingKeys: String, CodingKey {
            case model, prompt, temperature, stream
            case maxTokens = "max_tokens"
            case ignoreEndToken = "ignore_eos"
            case streamOptions = "stream_options"
        }
    }

    func run(_ workload: Workload, prompts: [[Int32]]) async throws -> Double? {
        let (url, model, name, client) = (url, model, name, client)
        return try await rate(of: workload, prompts: prompts) { prompt, tokens in
            var request = HTTPClientRequest(url: url + "/v1/completions")
            request.method = .POST
            request.headers.add(name: "Content-Type", value: "application/json")
            let body = Body(model: model, prompt: prompt, maxTokens: tokens)
            request.body = .bytes(ByteBuffer(bytes: try JSONEncoder().encode(body)))
            let clock = ContinuousClock()
            let start = clock.now
            let response = try await client.execute(request, timeout: .hours(1))
            guard response.status == .ok else {
                let text = String(buffer: try await response.body.collect(upTo: 1 << 16))
                throw ContenderError(description: "\(name) answered \(response.status.code): \(text)")
            }
            var (events, result) = (EventStream(), AnswerTimes())
            for try await part in response.body {
                for _ in 0..<events.append(part.readableBytesView) {
                    result.times.append((clock.now - start) / .seconds(1))
                }
            }
            // Events may hold several tokens, or none that is a whole character: what counts is what the server says.
            result.tokens = events.completionTokens ?? result.times.count
            return result
        }
    }
}

/// Counts the events of a stream that carry tokens.
struct EventStream {
    /// As the server counts them, once it has said so.
    private(set) var completionTokens: Int?
    private var line: [UInt8] = []

    /// Takes bytes as they come; returns how many such events they complete.
    mutating func append(_ bytes: some Sequence<UInt8>) -> Int {
        var count = 0
        for byte in bytes {
            guard byte == UInt8(ascii: "\n") else {
                line.append(byte)
                continue
            }
            if takeLine() { count += 1 }
            line.removeAll(keepingCapacity: true)
        }
        return count
    }

    private struct Event: Decodable {
        struct Choice: Decodable {
            let text: String?
            let finish: String?
            enum CodingKeys: String, CodingKey {
                case text
                case finish = "finish_reason"
            }
        }
        struct Usage: Decodable {
            let tokens: Int
            enum CodingKeys: String, CodingKey { case tokens = "completion_tokens" }
        }
        let choices: [Choice]
        let usage: Usage?
    }

    /// Whether the line holds tokens: it is not the end's mark, nor an event that only says why an answer ended.
    private mutating func takeLine() -> Bool {
        let prefix = Array("data:".utf8)
        guard line.starts(with: prefix),
            let event = try? JSONDecoder().decode(Event.self, from: Data(line.dropFirst(prefix.count)))
        else { return false }
        if let usage = event.usage { completionTokens = usage.tokens }
        guard let choice = event.choices.first else { return false }
        return !(choice.text ?? "").isEmpty || choice.finish == nil
    }
}
