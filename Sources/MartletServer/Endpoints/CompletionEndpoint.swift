// SPDX-License-Identifier: Apache-2.0

import Hummingbird
import Martlet
import MartletJSON
import MartletText

/// `/v1/completions`.
struct CompletionEndpoint: Sendable {
    let server: ServerState

    /// A request with its prompts' tokens.
    private struct Prepared: Sendable {
        let request: CompletionRequest
        let prompts: [Prompt]
        let text: TokenText
        /// Held until the answer has been sent.
        let logprobs: LogprobBudget.Reservation
    }

    private struct Prompt: Sendable {
        let tokens: [Int32]
        /// What `echo` repeats.
        let echo: String
        /// Whether the first token is BOS that was put before the text.
        var hasAddedBOS = false
    }

    func respond(to request: Request, _ context: ServerContext) async throws -> Response {
        let engine = try server.served.require()
        let client = try await context.client
        let bytes = try await request.jsonBytes(context, limit: server.limits.bodyBytes)
        let prepared = try await server.text.run(bytes: bytes.count) { try prepare(bytes, engine, client) }
        let common = prepared.request.common
        let answer = server.answer("text_completion", prefix: "cmpl-", model: common.model, context)
        server.log(prepared.prompts.map(\.echo), common.sampling, context)
        let run: GenerationRun
        do {
            run = try GenerationRun(
                prepared.prompts.map { common.request($0.tokens) }, on: engine, for: server, since: context.start)
        } catch { throw common.renamed(error) }
        if common.streams {
            return EventStream.response(server, context) { events in
                try await stream(prepared, answer, run, client, to: &events)
            }
        }
        return try await whole(prepared, answer, run, client)
    }

    private func prepare(_ bytes: [UInt8], _ engine: Engine, _ client: ClientPresence) throws -> Prepared {
        let texts = try PromptTokens(engine, limits: server.limits, for: client)
        let body = try JSONParser.parse(bytes, maximumDepth: server.limits.jsonDepth)
        var request = try CompletionRequest(body, defaults: server.sampling, limits: server.limits)
        try server.settle(&request.common, with: texts)
        let needsText = request.echoes || server.logsRequests
        let prompts = try request.prompts.map { prompt in
            switch prompt {
            case .text(let text):
                Prompt(
                    tokens: try texts.tokens(
                        of: text, addingBOS: request.addsSpecialTokens,
                        parsingSpecials: request.parsesSpecials ?? server.parsesSpecials), echo: text,
                    hasAddedBOS: request.addsSpecialTokens && engine.model.tokenizer.addsBOS)
            case .tokens(let tokens): Prompt(tokens: tokens, echo: needsText ? texts.text(of: tokens) : "")
            }
        }
        let entries = try server.limits.check(
            logprobs: request.common, prompts: prompts.map(\.tokens.count), in: engine)
        if request.echoes {
            try server.limits.check(
                echo: prompts.reduce(0) { $0 + $1.echo.utf8.count }, samples: request.common.sampling.n)
        }
        return Prepared(
            request: request, prompts: prompts,
            text: TokenText(tokenizer: engine.model.tokenizer, namesByID: request.common.namesTokensByID),
            logprobs: try server.logprobs.reserve(entries))
    }

    private func choice(
        _ index: Int, text: String, logprobs: JSONValue, finish: String? = nil,
        stop: GenerationSummary.StopReason? = nil
    ) -> JSONValue {
        [
            "index": .integer(index), "text": .string(text), "logprobs": logprobs, "finish_reason": JSONValue(finish),
            "stop_reason": stop?.json ?? .null,
        ]
    }

    // MARK: At once

    private func whole(
        _ prepared: Prepared, _ answer: AnswerObject, _ run: GenerationRun, _ client: ClientPresence
    ) async throws -> Response {
        let (request, n) = (prepared.request, prepared.request.common.sampling.n)
        var answers = [GeneratedAnswer](repeating: GeneratedAnswer(), count: prepared.prompts.count * n)
        try await run.forEachPiece(for: client) { index, piece in answers[index * n + piece.sample].append(piece) }
        var usage = Usage(promptTokens: prepared.prompts.reduce(0) { $0 + $1.tokens.count })
        let choices = answers.enumerated().map { number, generated in
            let prompt = prepared.prompts[number / n]
            // The first sample has the scores of all.
            let scores = answers[number - number % n].promptScores
            usage.add(generated.tokens.count, generated.summary, sample: number % n)
            var logprobs = request.logprobs.map { _ in CompletionLogprobs(prepared.text) }
            if request.echoes { logprobs?.append(prompt: prompt.tokens, scores, hidesFirst: prompt.hasAddedBOS) }
            logprobs?.append(generated)
            var choice = choice(
                number, text: (request.echoes ? prompt.echo : "") + generated.text, logprobs: logprobs?.json ?? .null,
                finish: generated.summary?.finishReason.rawValue, stop: generated.summary?.stopReason)
            if request.reportsPromptLogprobs {
                choice.append("prompt_logprobs", prepared.text.promptLogprobs(prompt.tokens, scores))
            }
            return choice
        }
        return Response(json: answer.json(choices: choices, usage: usage.json), holding: prepared.logprobs)
    }

    // MARK: In pieces

    private func stream(
        _ prepared: Prepared, _ answer: AnswerObject, _ run: GenerationRun, _ client: ClientPresence,
        to events: inout EventStream
    ) async throws {
        let (request, n) = (prepared.request, prepared.request.common.sampling.n)
        var usage = Usage(promptTokens: prepared.prompts.reduce(0) { $0 + $1.tokens.count })
        var scores = [[TokenScore]](repeating: [], count: prepared.prompts.count)
        /// Where each answer's next token begins; nil before its first piece.
        var offsets = [Int?](repeating: nil, count: prepared.prompts.count * n)
        // A closure can't hold what is lent to it.
        var output = events
        defer { events = output }
        try await run.forEachPiece(for: client) { index, piece in
            scores[index] += piece.promptScores
            guard !piece.tokens.isEmpty || piece.summary != nil else { return try await output.keepAlive() }
            let (number, prompt) = (index * n + piece.sample, prepared.prompts[index])
            var logprobs = request.logprobs.map { _ in CompletionLogprobs(prepared.text, offset: offsets[number] ?? 0) }
            var text = piece.text
            if offsets[number] == nil, request.echoes {
                logprobs?.append(prompt: prompt.tokens, scores[index], hidesFirst: prompt.hasAddedBOS)
                text = prompt.echo + text
            }
            logprobs?.append(piece)
            offsets[number] = logprobs?.nextOffset ?? 0
            usage.add(piece.tokens.count, piece.summary, sample: piece.sample)
            let choice = choice(
                number, text: text, logprobs: logprobs?.json ?? .null,
                finish: piece.summary?.finishReason.rawValue, stop: piece.summary?.stopReason)
            try await output.send(
                answer.json(choices: [choice], usage: request.common.usage(usage)))
        }
        if request.common.includesUsage { try await output.send(answer.json(choices: [], usage: usage.json)) }
    }
}
