// SPDX-License-Identifier: Apache-2.0

import Hummingbird
import Martlet

/// A route of one's own that streams an answer as plain text: `swift run -c release StreamingRoute MODEL.gguf`, then
/// `curl -N http://127.0.0.1:8080/ask?q=Why+is+the+sky+blue`.
@main
struct StreamingRoute {
    static func main() async throws {
        guard let path = CommandLine.arguments.dropFirst().first else {
            return print("usage: StreamingRoute MODEL.gguf")
        }
        let engine = try await Engine.load(path)
        let router = Router()
        router.get("ask") { request, _ in
            guard let question = request.uri.queryParameters.get("q"), !question.isEmpty else {
                throw HTTPError(.badRequest, message: "ask a question: /ask?q=...")
            }
            return try answer(question, engine)
        }
        let application = Application(
            router: router, configuration: .init(address: .hostname("127.0.0.1", port: 8080)))
        // Returns at SIGTERM or Ctrl-C, once the requests that came are answered.
        try await application.runService()
        await engine.stop()
    }

    static func status(of code: EngineError.Code) -> HTTPResponse.Status {
        switch code {
        case .overloaded, .stopped, .stalled: .serviceUnavailable
        case .deviceLost: .internalServerError
        default: .badRequest
        }
    }

    static func answer(_ question: String, _ engine: Engine) throws -> Response {
        var sampling = SamplingParameters()
        sampling.temperature = 0.7
        sampling.maxTokens = 300
        let stream: GenerationStream
        do {
            stream = try engine.generate([.user(question)], sampling: sampling)
        } catch {
            throw HTTPError(status(of: error.code), message: error.message)
        }
        let body = ResponseBody { writer in
            // A write to a client that has left throws. The stream is let go of then, and the engine ends the answer.
            for try await piece in stream where !piece.text.isEmpty {
                try await writer.write(ByteBuffer(string: piece.text))
            }
            try await writer.finish(nil)
        }
        return Response(status: .ok, headers: [.contentType: "text/plain; charset=utf-8"], body: body)
    }
}
