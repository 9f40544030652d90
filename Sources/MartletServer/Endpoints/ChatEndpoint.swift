// SPDX-License-Identifier: Apache-2.0

import Hummingbird
import Martlet
import MartletJSON
import MartletText

/// `/v1/chat/completions`.
struct ChatEndpoint: Sendable {
    let server: ServerState

    private struct Prepared: Sendable {
        let request: ChatRequest
        let tokens: [Int32]
        let text: TokenText
        /// Held until the answer has been sent.
        let logprobs: LogprobBudget.Reservation
    }

    func respond(to request: Request, _ context: ServerContext) async throws -> Response {
        let engine = try server.served.require()
        let client = try await context.client
        let bytes = try await request.jsonBytes(context, limit: server.limits.bodyBytes)
        let prepared = try await server.text.run(bytes: bytes.count) { try prepare(bytes, engine, client) }
        let common = prepared.request.common
        server.log(prepared.request.messages.map { "\($0.role.rawValue): \($0.content)" }, common.sampling, context)
        let run: GenerationRun
        do {
            run = try GenerationRun(
                [common.request(prepared.tokens)], on: engine, for: server, since: context.start)
        } catch { throw common.renamed(error) }
        guard common.streams else {
            let answer = server.answer("chat.completion", prefix: "chatcmpl-", model: common.model, context)
            return try await whole(prepared, answer, run, client)
        }
        let answer = server.answer("chat.completion.chunk", prefix: "chatcmpl-", model: common.model, context)
        return EventStream.response(server, context) { events in
            try await stream(prepared, answer, run, client, to: &events)
        }
    }

    private func prepare(_ bytes: [UInt8], _ engine: Engine, _ client: ClientPresence) throws -> Prepared {
        let texts = try PromptTokens(engine, limits: server.limits, for: client)
        let body = try JSONParser.parse(bytes, maximumDepth: server.limits.jsonDepth)
        var request = try ChatRequest(body, defaults: server.sampling, limits: server.limits)
        try server.settle(&request.common, with: texts)
        let tokens: [Int32]
        let entries: Int
        do {
            tokens = try texts.tokens(of: request.messages)
            entries = try server.limits.check(logprobs: request.common, prompts: [tokens.count], in: engine)
        } catch { throw request.common.renamed(error) }
        return Prepared(
            request: request, tokens: tokens,
            text: TokenText(tokenizer: engine.model.tokenizer, namesByID: request.common.namesTokensByID),
            logprobs: try server.logprobs.reserve(entries))
    }

    private func whole(
        _ prepared: Prepared, _ answer: AnswerObject, _ run: GenerationRun, _ client: ClientPresence
    ) async throws -> Response {
        let request = prepared.request
        let n = request.common.sampling.n
        var answers = [GeneratedAnswer](repeating: GeneratedAnswer(), count: n)
        try await run.forEachPiece(for: client) { _, piece in answers[piece.sample].append(piece) }
        var usage = Usage(promptTokens: prepared.tokens.count)
        let choices: [JSONValue] = answers.enumerated().map { sample, generated in
            usage.add(generated.tokens.count, generated.summary, sample: sample)
            return [
                "index": .integer(sample),
                "message": ["role": "assistant", "content": .string(generated.text), "refusal": nil],
                "logprobs": request.logprobs
                    ? ["content": prepared.text.chatLogprobs(of: generated), "refusal": nil] : nil,
                "finish_reason": JSONValue(generated.summary?.finishReason.rawValue),
                "stop_reason": generated.summary?.stopReason?.json ?? .null,
            ]
        }
        var json = answer.json(choices: choices, usage: usage.json)
        if request.common.sampling.promptLogprobs != nil {
            json.append("prompt_logprobs", prepared.text.promptLogprobs(prepared.tokens, answers[0].promptScores))
        }
        return Response(json: json, holding: prepared.logprobs)
    }

    private func stream(
        _ prepared: Prepared, _ answer: AnswerObject, _ run: GenerationRun, _ client: ClientPresence,
        to events: inout EventStream
    ) async throws {
        let request = prepared.request
        var usage = Usage(promptTokens: prepared.tokens.count)
        // A closure can't hold what is lent to it.
        var output = events
        defer { events = output }
        func chunk(_ sample: Int, _ delta: JSONValue, _ piece: GenerationPiece? = nil) -> JSONValue {
            let choice: JSONValue = [
                "index": .integer(sample), "delta": delta,
                "logprobs": piece.map { request.logprobs ? ["content": prepared.text.chatLogprobs($0)] : nil }
                    ?? nil,
                "finish_reason": JSONValue(piece?.summary?.finishReason.rawValue),
                "stop_reason": piece?.summary?.stopReason?.json ?? .null,
            ]
            return answer.json(choices: [choice], usage: request.common.usage(usage))
        }
        for sample in 0..<request.common.sampling.n {
            try await output.send(chunk(sample, ["role": "assistant", "content": ""]))
        }
        try await run.forEachPiece(for: client) { _, piece in
            guard !piece.tokens.isEmpty || piece.summary != nil else { return try await output.keepAlive() }
            usage.add(piece.tokens.count, piece.summary, sample: piece.sample)
            try await output.send(chunk(piece.sample, ["content": .string(piece.text)], piece))
        }
        if request.common.includesUsage { try await output.send(answer.json(choices: [], usage: usage.json)) }
    }
}
