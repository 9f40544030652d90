// SPDX-License-Identifier: Apache-2.0

import Hummingbird
import Martlet
import MartletJSON
import MartletText

/// The tokenizer over HTTP.
struct TokenEndpoints: Sendable {
    let server: ServerState

    func tokenize(_ request: Request, _ context: ServerContext) async throws -> Response {
        let engine = try server.served.require()
        let client = try await context.client
        let bytes = try await request.jsonBytes(context, limit: server.limits.bodyBytes)
        let (limits, parsesSpecials) = (server.limits, server.parsesSpecials)
        let tokens = try await server.text.run(bytes: bytes.count) { [server] in
            let body = try TokenizeRequest(JSONParser.parse(bytes, maximumDepth: limits.jsonDepth))
            _ = try server.servedName(body.model)
            let texts = try PromptTokens(engine, limits: limits, for: client)
            if let messages = body.messages { return try texts.tokens(of: messages) }
            return try texts.tokens(
                of: body.prompt ?? "", addingBOS: body.addsSpecialTokens ?? true,
                parsingSpecials: body.parsesSpecials ?? parsesSpecials)
        }
        return Response(
            json: [
                "count": .integer(tokens.count), "max_model_len": .integer(engine.model.maxModelLength),
                "tokens": .array(tokens.map { .integer(Int($0)) }), "token_strs": nil,
            ])
    }

    func detokenize(_ request: Request, _ context: ServerContext) async throws -> Response {
        let model = try server.served.require().model
        let tokenizer = model.tokenizer
        let bytes = try await request.jsonBytes(context, limit: server.limits.bodyBytes)
        let depth = server.limits.jsonDepth
        let text = try await server.text.run(bytes: bytes.count) { [server] in
            let body = try DetokenizeRequest(JSONParser.parse(bytes, maximumDepth: depth))
            _ = try server.servedName(body.model)
            let tokens = body.tokens
            guard tokens.count <= model.maxModelLength else {
                throw ServerError.invalid("tokens", "tokens has more ids than the context's \(model.maxModelLength)")
            }
            guard tokens.allSatisfy(tokenizer.vocabulary.contains) else {
                throw ServerError.invalid("tokens", "tokens holds ids outside of the vocabulary")
            }
            return tokenizer.decode(tokens, includingSpecials: true)
        }
        return Response(json: ["prompt": .string(text)])
    }

    func info() throws -> Response {
        let model = try server.served.require().model
        let tokenizer = model.tokenizer
        func text(_ token: Int32?) -> JSONValue {
            JSONValue(token.map { tokenizer.decode([$0], includingSpecials: true) })
        }
        return Response(
            json: [
                "tokenizer_class": "bpe", "vocab_size": .integer(tokenizer.vocabulary.count),
                "bos_token": text(tokenizer.bosToken), "eos_token": text(tokenizer.eosToken), "pad_token": nil,
                "add_bos_token": .bool(tokenizer.addsBOS), "model_max_length": .integer(model.maxModelLength),
                "chat_template": JSONValue(model.chatTemplate?.source),
            ])
    }
}
