// SPDX-License-Identifier: Apache-2.0

import MartletClient

/// A server that speaks OpenAI's completions: vLLM, llama.cpp's, or any other.
struct OpenAIServer: Contender {
    let name: String
    /// As the server calls the first that it lists.
    private let model: String
    private let client: OpenAIClient

    /// - Parameters:
    ///   - url: without `/v1`.
    ///   - connections: as many requests as will be open at once.
    init(name: String, url: String, connections: Int) async throws {
        client = OpenAIClient(url: url, connections: connections)
        self.name = name
        do {
            model = try await client.firstModel()
        } catch {
            try await client.shutDown()
            throw ContenderError(description: "\(url) doesn't answer as an OpenAI-compatible server: \(error)")
        }
    }

    func end() async throws { try await client.shutDown() }

    func run(_ workload: Workload, prompts: [[Int32]]) async throws -> Double? {
        let (client, model) = (client, model)
        return try await rate(of: workload, prompts: prompts) { prompt, tokens in
            let answer = try await client.ask(
                OpenAIClient.Question(model: model, prompt: .tokens(prompt), maxTokens: tokens))
            return AnswerTimes(
                times: answer.times.map { ($0 - answer.start) / .seconds(1) }, tokens: answer.completionTokens)
        }
    }
}
