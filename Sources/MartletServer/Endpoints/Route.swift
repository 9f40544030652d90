// SPDX-License-Identifier: Apache-2.0

package import HTTPTypes
import Hummingbird

/// One route of the server.
package struct Route: Sendable {
    package let method: HTTPRequest.Method
    package let path: String
    /// For people.
    let help: String
    /// Whether it needs no API key.
    let isOpen: Bool
    let respond: @Sendable (Request, ServerContext) async throws -> Response

    init(
        _ method: HTTPRequest.Method, _ path: String, _ help: String, isOpen: Bool = false,
        _ respond: @escaping @Sendable (Request, ServerContext) async throws -> Response
    ) {
        self.method = method
        self.path = path
        self.help = help
        self.isOpen = isOpen
        self.respond = respond
    }

    /// All of them.
    package static func all(_ server: ServerState) -> [Route] {
        let (completions, chat) = (CompletionEndpoint(server: server), ChatEndpoint(server: server))
        let (status, tokens) = (StatusEndpoints(server: server), TokenEndpoints(server: server))
        return [
            Route(.post, "/v1/completions", "Continues prompts.") { try await completions.respond(to: $0, $1) },
            Route(.post, "/v1/chat/completions", "Answers a conversation, by the model's chat template.") {
                try await chat.respond(to: $0, $1)
            },
            Route(.get, "/v1/models", "The names that the model is served by, with `max_model_len`.") { _, _ in
                try status.models()
            },
            Route(.get, "/v1/models/{name}", "One of them.") { _, context in
                try status.model(named: context.name)
            },
            Route(.post, "/v1/embeddings", "Not supported: always 400.") { _, _ in
                throw ServerError(
                    .badRequest, "embeddings are not supported by this server", code: "unsupported_endpoint")
            },
            Route(.post, "/tokenize", "The tokens of a text or a conversation.") {
                try await tokens.tokenize($0, $1)
            },
            Route(.post, "/detokenize", "The text of tokens.") { try await tokens.detokenize($0, $1) },
            Route(.get, "/tokenizer_info", "The tokenizer's special tokens and chat template.") { _, _ in
                try tokens.info()
            },
            Route(.get, "/version", "The version, and every limit.") { _, _ in status.version() },
            Route(.get, "/health", "200 while the process lives. The only route that needs no API key.", isOpen: true) {
                _, _ in Response(json: ["status": "alive"])
            },
            Route(.get, "/ready", "200 while requests are taken; 503 while the model is loaded, or the server drains.")
            {
                _, _ in status.ready()
            },
            Route(.get, "/metrics", "Metrics for Prometheus; see Metrics.md.") { _, _ in status.metrics() },
            Route(.get, "/", "A page for trying the model and watching the engine.") { _, _ in status.page() },
        ]
    }
}
