// SPDX-License-Identifier: Apache-2.0

import Hummingbird
import Martlet
import MartletText

/// `/v1/completions`.
struct CompletionEndpoint: Sendable {
    let server: ServerState

    /// A request with its prompts' tokens.
    private struct Prepared: Sendable {
        let request: CompletionRequest
        let prompts: [Prompt]
        let text: TokenText
    }

    private struct Prompt: Sendable {
        let tokens: [Int32]
        /// What `echo` repeats.
        let echo: String
    }

    func respond(to request: Request, _ context: ServerContext) async throws -> Response {
        let engine = try server.served.require()
        let bytes = try await request.jsonBytes(limit: server.limits.bodyBytes)
        let prepared = try await server.text.run { try prepare(bytes, engine) }
        let common = prepared.request.common
        let answer = server.answer("text_completion", prefix: "cmpl-", model: common.model, context)
        server.log(prepared.prompts.map(\.echo), common.sampling, context)
        if prepared.request.onlyEchoes { return echo(prepared, answer) }
        let run = try GenerationRun(
            prepared.prompts.map { common.request($0.tokens, engine.model.tokenizer) }, on: engine,
            metrics: server.metrics, limits: server.limits)
        let client = try await context.client
        if common.streams {
            return EventStream.response(metrics: server.metrics) { events in
                try await stream(prepared, answer, run, client, to: &events)
            }
        }
        return try await whole(prepared, answer, run, client)
    }

    private func prepare(_ bytes: [UInt8], _ engine: Engine) throws -> Prepared {
        let body = try JSONParser.parse(bytes, maximumDepth: server.limits.jsonDepth)
        var request = try CompletionRequest(body, defaults: server.sampling, limits: server.limits)
        request.common.model = try server.servedName(request.common.model)
        if request.common.sampling.seed == nil { request.common.sampling.seed = server.nextSeed() }
        let tokenizer = engine.model.tokenizer
        let prompts = try request.prompts.map { prompt in
            switch prompt {
            case .text(let text):
                Prompt(
                    tokens: try engine.tokens(of: text, addingBOS: request.addsSpecialTokens, limits: server.limits),
                    echo: text)
            case .tokens(let tokens):
                // Text for people: only who asked for it, or reads it in the log, sees it.
                Prompt(
                    tokens: tokens,
                    echo: request.echoes || server.logsRequests
                        ? tokenizer.decode(tokens, includingSpecials: true) : "")
            }
        }
        return Prepared(
            request: request, prompts: prompts,
            text: TokenText(tokenizer: tokenizer, namesByID: request.common.namesTokensByID))
    }

    /// Answers that are their prompts.
    private func echo(_ prepared: Prepared, _ answer: AnswerObject) -> Response {
        let choices = prepared.prompts.enumerated().map { index, prompt in
            choice(index, text: prompt.echo, logprobs: .null, finish: "length")
        }
        let usage = Usage(promptTokens: prepared.prompts.reduce(0) { $0 + $1.tokens.count })
        return Response(json: answer.json(choices: choices, usage: usage))
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
        let choices = answers.enumerated().map { place, generated in
            let prompt = prepared.prompts[place / n]
            // The first sample has the scores of all.
            let scores = answers[place - place % n].promptScores
            if let summary = generated.summary {
                usage.add(completionTokens: summary.completionTokens)
                if place % n == 0 { usage.add(cachedTokens: summary.cachedTokens) }
            }
            var logprobs = request.logprobs.map { _ in CompletionLogprobs(prepared.text) }
            if request.echoes { logprobs?.append(prompt: prompt.tokens, scores) }
            logprobs?.append(generated)
            var choice = choice(
                place, text: (request.echoes ? prompt.echo : "") + generated.text, logprobs: logprobs?.json ?? .null,
                finish: generated.summary?.finishReason.rawValue, stop: generated.summary?.stopReason)
            if request.reportsPromptLogprobs {
                choice.append("prompt_logprobs", prepared.text.promptLogprobs(prompt.tokens, scores))
            }
            return choice
        }
        return Response(json: answer.json(choices: choices, usage: usage))
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
            if EventStream.isSignOfLife(piece) { return try await output.sendSignOfLife() }
            scores[index] += piece.promptScores
            guard !piece.tokens.isEmpty || piece.summary != nil else { return }
            let (place, prompt) = (index * n + piece.sample, prepared.prompts[index])
            var logprobs = request.logprobs.map { _ in CompletionLogprobs(prepared.text, offset: offsets[place] ?? 0) }
            var text = piece.text
            if offsets[place] == nil, request.echoes {
                logprobs?.append(prompt: prompt.tokens, scores[index])
                text = prompt.echo + text
            }
            logprobs?.append(piece)
            offsets[place] = logprobs?.nextOffset ?? 0
            usage.add(completionTokens: piece.tokens.count)
            if let summary = piece.summary, piece.sample == 0 { usage.add(cachedTokens: summary.cachedTokens) }
            let choice = choice(
                place, text: text, logprobs: logprobs?.json ?? .null,
                finish: piece.summary?.finishReason.rawValue, stop: piece.summary?.stopReason)
            try await output.send(
                answer.json(choices: [choice], usage: request.common.includesUsageAlways ? usage : nil))
        }
        if request.common.includesUsage { try await output.send(answer.json(choices: [], usage: usage)) }
    }
}
