// SPDX-License-Identifier: Apache-2.0

import AsyncHTTPClient
import Foundation
import NIOCore

/// A server that speaks OpenAI's completions: vLLM, llama.cpp's, or any other.
struct OpenAIServer: Contender {
    let name: String
    /// Without `/v1`.
    let url: String
    /// As the server calls it; nil for the first that it lists.
    let model: String

    init(name: String, url: String) async throws {
        self.name = name
        self.url = url.hasSuffix("/") ? String(url.dropLast()) : url
        let response = try await HTTPClient.shared.execute(
            HTTPClientRequest(url: self.url + "/v1/models"), timeout: .seconds(30))
        let body = Data(try await response.body.collect(upTo: 1 << 20).readableBytesView)
        let list = try JSONDecoder().decode(ModelList.self, from: body)
        guard let first = list.data.first else { throw ContenderError(description: "\(url) serves no model") }
        model = first.id
    }

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

        enum CodingKeys: String, CodingKey {
            case model, prompt, temperature, stream
            case maxTokens = "max_tokens"
            case ignoreEndToken = "ignore_eos"
        }
    }

    func run(_ workload: Workload, prompts: [[Int32]]) async throws -> Double? {
        let (url, model, name) = (url, model, name)
        return try await rate(of: workload, prompts: prompts) { prompt, tokens in
            var request = HTTPClientRequest(url: url + "/v1/completions")
            request.method = .POST
            request.headers.add(name: "Content-Type", value: "application/json")
            let body = Body(model: model, prompt: prompt, maxTokens: tokens)
            request.body = .bytes(ByteBuffer(bytes: try JSONEncoder().encode(body)))
            let clock = ContinuousClock()
            let start = clock.now
            let response = try await HTTPClient.shared.execute(request, timeout: .hours(1))
            guard response.status == .ok else {
                let text = String(buffer: try await response.body.collect(upTo: 1 << 16))
                throw ContenderError(description: "\(name) answered \(response.status.code): \(text)")
            }
            var (events, result) = (EventStream(), AnswerTimes())
            for try await part in response.body {
                let count = events.append(part.readableBytesView)
                result.times += Array(repeating: (clock.now - start) / .seconds(1), count: count)
            }
            return result
        }
    }
}

/// Counts the events of a stream that carry tokens.
struct EventStream {
    private var line: [UInt8] = []

    /// Takes bytes as they come; returns how many such events they complete.
    mutating func append(_ bytes: some Sequence<UInt8>) -> Int {
        var count = 0
        for byte in bytes {
            guard byte == UInt8(ascii: "\n") else {
                line.append(byte)
                continue
            }
            if Self.carriesToken(line) { count += 1 }
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
        let choices: [Choice]
    }

    /// Not the end's mark, and not an event that only says why an answer ended.
    private static func carriesToken(_ line: [UInt8]) -> Bool {
        let prefix = Array("data:".utf8)
        guard line.starts(with: prefix),
            let event = try? JSONDecoder().decode(Event.self, from: Data(line.dropFirst(prefix.count))),
            let choice = event.choices.first
        else { return false }
        return !(choice.text ?? "").isEmpty || choice.finish == nil
    }
}
