// SPDX-License-Identifier: Apache-2.0

import AsyncHTTPClient
import Foundation
import NIOCore

/// Asks a server that speaks OpenAI's API, and times its answers.
package struct OpenAIClient: Sendable {
    package enum Endpoint: String, Sendable {
        case completions = "/v1/completions"
        case chat = "/v1/chat/completions"
    }

    package enum Prompt: Sendable {
        case tokens([Int32])
        case text(String)
    }

    /// What is asked. Answers are greedy unless the temperature says otherwise.
    package struct Question: Sendable {
        package var model: String
        package var prompt: Prompt
        package var maxTokens: Int
        package var temperature = 0.0
        package var ignoresEndTokens = true

        package init(model: String, prompt: Prompt, maxTokens: Int) {
            self.model = model
            self.prompt = prompt
            self.maxTokens = maxTokens
        }
    }

    /// An answer and when its pieces came.
    package struct Answer: Sendable {
        package var text = ""
        /// When each event with tokens came.
        package var times: [ContinuousClock.Instant] = []
        package var start: ContinuousClock.Instant
        /// As the server counts them; events where it doesn't.
        package var completionTokens = 0
        package var promptTokens: Int?
    }

    package struct Failure: Error, CustomStringConvertible, Sendable {
        package let description: String
    }

    private let url: String
    private let endpoint: String
    private let endpointKind: Endpoint
    private let apiKey: String?
    private let client: HTTPClient

    /// - Parameters:
    ///   - url: without `/v1`.
    ///   - path: of the endpoint, where it isn't OpenAI's.
    ///   - connections: as many requests as will be open at once.
    package init(
        url: String, endpoint: Endpoint = .completions, path: String? = nil, apiKey: String? = nil, connections: Int
    ) {
        // A long prompt may leave a stream silent for minutes.
        var configuration = HTTPClient.Configuration(timeout: .init(connect: .seconds(30), read: .minutes(30)))
        configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = max(8, connections)
        configuration.httpVersion = .http1Only
        client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
        self.url = url.hasSuffix("/") ? String(url.dropLast()) : url
        self.endpoint = path ?? endpoint.rawValue
        endpointKind = endpoint
        self.apiKey = apiKey
    }

    package func shutDown() async throws { try await client.shutdown() }

    private func request(_ path: String) -> HTTPClientRequest {
        var request = HTTPClientRequest(url: url + path)
        if let apiKey { request.headers.add(name: "Authorization", value: "Bearer \(apiKey)") }
        return request
    }

    /// The first model that the server lists.
    package func firstModel(timeout: Int64 = 30) async throws -> String {
        struct ModelList: Decodable {
            struct Model: Decodable { let id: String }
            let data: [Model]
        }
        let response = try await client.execute(request("/v1/models"), timeout: .seconds(timeout))
        let body = Data(try await response.body.collect(upTo: 1 << 20).readableBytesView)
        guard response.status == .ok else {
            throw Failure(
                description: "\(url) answered \(response.status.code): \(String(decoding: body, as: UTF8.self))")
        }
        guard let first = try JSONDecoder().decode(ModelList.self, from: body).data.first else {
            throw Failure(description: "\(url) serves no model")
        }
        return first.id
    }

    private struct Body: Encodable {
        struct Message: Encodable {
            let role = "user"
            let content: String
        }
        let model: String
        var prompt: [Int32]?
        var textPrompt: String?
        var messages: [Message]?
        let maxTokens: Int
        let temperature: Double
        let ignoreEndToken: Bool
        let stream = true
        let streamOptions = ["include_usage": true]

        enum CodingKeys: String, CodingKey {
            case model, prompt, messages, temperature, stream
            case maxTokens = "max_tokens"
            case ignoreEndToken = "ignore_eos"
            case streamOptions = "stream_options"
        }

        func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(model, forKey: .model)
            try container.encodeIfPresent(prompt, forKey: .prompt)
            try container.encodeIfPresent(textPrompt, forKey: .prompt)
            try container.encodeIfPresent(messages, forKey: .messages)
            try container.encode(maxTokens, forKey: .maxTokens)
            try container.encode(temperature, forKey: .temperature)
            try container.encode(ignoreEndToken, forKey: .ignoreEndToken)
            try container.encode(stream, forKey: .stream)
            try container.encode(streamOptions, forKey: .streamOptions)
        }
    }

    private func body(_ question: Question) throws -> Body {
        var body = Body(
            model: question.model, maxTokens: question.maxTokens, temperature: question.temperature,
            ignoreEndToken: question.ignoresEndTokens)
        switch (endpointKind, question.prompt) {
        case (.completions, .tokens(let tokens)): body.prompt = tokens
        case (.completions, .text(let text)): body.textPrompt = text
        case (.chat, .text(let text)): body.messages = [Body.Message(content: text)]
        case (.chat, .tokens): throw Failure(description: "a chat is asked in words, not in token ids")
        }
        return body
    }

    /// Asks, and reads the answer as it comes.
    ///
    /// - Parameter onPiece: called with the tokens so far, as far as events tell.
    package func ask(_ question: Question, onPiece: (Int) -> Void = { _ in }) async throws -> Answer {
        var request = request(endpoint)
        request.method = .POST
        request.headers.add(name: "Content-Type", value: "application/json")
        request.body = .bytes(ByteBuffer(bytes: try JSONEncoder().encode(try body(question))))
        let clock = ContinuousClock()
        var answer = Answer(start: clock.now)
        let response = try await client.execute(request, timeout: .hours(1))
        guard response.status == .ok else {
            let text = String(buffer: try await response.body.collect(upTo: 1 << 16))
            throw Failure(description: "\(url) answered \(response.status.code): \(text)")
        }
        var (events, counted) = (EventStreamParser(), Int?.none)
        for try await part in response.body {
            for event in events.append(part.readableBytesView) {
                if let error = event.error { throw Failure(description: error) }
                counted = event.completionTokens ?? counted
                answer.promptTokens = event.promptTokens ?? answer.promptTokens
                guard event.hasTokens else { continue }
                answer.times.append(clock.now)
                answer.text += event.text
                onPiece(answer.times.count)
            }
        }
        guard !answer.times.isEmpty || counted != nil else {
            throw Failure(description: "\(url) answered without an event; does it stream?")
        }
        // Events may hold several tokens, or none that is a whole character: what counts is what the server says.
        answer.completionTokens = counted ?? answer.times.count
        return answer
    }
}
