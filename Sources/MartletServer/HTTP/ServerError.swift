// SPDX-License-Identifier: Apache-2.0

package import Hummingbird
import Martlet
import MartletJSON
import MartletText
import NIOHTTP1

/// What a client is told when its request fails, in the shape of OpenAI's errors. Every status is decided here.
package struct ServerError: Error, Equatable {
    package var status: HTTPResponse.Status
    var message: String
    /// The field at fault.
    var param: String?
    package var code: String?
    /// Methods that the route has, where it hasn't the request's.
    var allow: String?

    init(_ status: HTTPResponse.Status, _ message: String, param: String? = nil, code: String? = nil) {
        self.status = status
        self.message = message
        self.param = param
        self.code = code
    }

    static func invalid(_ param: String, _ message: String) -> ServerError {
        ServerError(.badRequest, message, param: param)
    }

    /// - Parameter advice: what to ask for instead.
    static func unsupported(_ param: String, _ value: JSONValue, advice: String? = nil) -> ServerError {
        ServerError(
            .badRequest,
            "\(param) is \(value.excerpt), which this server does not support" + (advice.map { "; \($0)" } ?? ""),
            param: param, code: "unsupported_parameter")
    }

    static func bodyTooLarge(_ limit: Int) -> ServerError {
        ServerError(.contentTooLarge, "the body has more than \(limit) bytes", code: "body_too_large")
    }

    static func methodNotAllowed(_ method: String, allowed: String) -> ServerError {
        var error = ServerError(
            .methodNotAllowed, "this route takes \(allowed), not \(method.prefix(32))", code: "method_not_allowed")
        error.allow = allowed
        return error
    }

    static let timedOut = ServerError(
        .requestTimeout, "the request took longer than this server allows", code: "request_timeout")

    static let loading = ServerError(
        .serviceUnavailable, "the model is still being loaded; try again later", code: "loading")

    /// - Parameter error: anything that a handler throws.
    init(_ error: any Error) {
        switch error {
        case let error as ServerError: self = error
        case let error as EngineError: self.init(error)
        case let error as JSONError:
            self.init(.badRequest, "the body can't be read as JSON: \(error)", code: "invalid_json")
        case let error as TemplateError: self.init(error)
        case let error as TokenizerError where error.code == .timedOut:
            self.init(.badRequest, error.message, param: "prompt", code: "tokenize_timeout")
        case let error as HTTPParserError: self.init(error)
        case let error as HTTPError:
            self.init(error.status, error.body ?? error.status.reasonPhrase)
        // Details of what is wrong with us are for the log.
        default: self.init(.internalServerError, "the server failed; its log says why")
        }
    }

    private init(_ error: TemplateError) {
        switch error.code {
        case .unsupported:
            self.init(
                .badRequest,
                "the model's \(error), so this server can't render these messages with it; give it another one by --chat-template",
                code: "unsupported_chat_template")
        case .syntax: self.init(.badRequest, "the model's \(error)", code: "invalid_chat_template")
        case .timedOut:
            self.init(
                .badRequest, "the \(error); fewer messages may be rendered in time", param: "messages",
                code: "template_timeout")
        case .budgetExceeded:
            let advice = error.needsMoreBudget ? "; --max-template-steps and --max-template-bytes permit more" : ""
            self.init(.badRequest, "the \(error)\(advice)", param: "messages", code: "template_budget_exceeded")
        case .raised: self.init(.badRequest, "the chat template refuses the messages: \(error)", param: "messages")
        default:
            self.init(
                .badRequest, "the chat template fails with these messages: \(error)", param: "messages",
                code: "template_failed")
        }
    }

    private init(_ error: HTTPParserError) {
        guard error == .headerOverflow else {
            self.init(.badRequest, "the request is not HTTP/1.1: \(String(reflecting: error))", code: "invalid_http")
            return
        }
        self.init(
            .badRequest,
            "the header is larger than --max-header-field-bytes, --max-header-bytes and --max-header-fields permit",
            code: "header_too_large")
    }

    private init(_ error: EngineError) {
        let status: HTTPResponse.Status =
            switch error.code {
            case .invalidRequest, .contextExceeded, .noChatTemplate: .badRequest
            case .overloaded, .stalled, .stopped, .deviceLost: .serviceUnavailable
            default: .internalServerError
            }
        let code = error.code == .contextExceeded ? "context_length_exceeded" : error.code.description.snakeCase
        self.init(status, error.message, param: error.field, code: code)
    }

    /// OpenAI's name for the kind of error.
    private var type: String {
        switch status {
        case .unauthorized: "authentication_error"
        case .serviceUnavailable: "service_unavailable"
        case let status where status.code < 500: "invalid_request_error"
        default: "server_error"
        }
    }

    var body: JSONValue {
        [
            "error": [
                "message": .string(message), "type": .string(type), "param": JSONValue(param), "code": JSONValue(code),
            ]
        ]
    }

    var response: Response {
        var response = Response(status: status, json: body)
        // What to do about it, for clients that don't read.
        if status == .serviceUnavailable { response.headers[.retryAfter] = "1" }
        if let allow { response.headers[.allow] = allow }
        if status == .unauthorized { response.headers[.wwwAuthenticate] = "Bearer, Basic realm=\"martlet\"" }
        return response
    }
}

extension String {
    /// `contextExceeded` as `context_exceeded`.
    fileprivate var snakeCase: String {
        reduce(into: "") { $0 += $1.isUppercase ? "_" + $1.lowercased() : String($1) }
    }
}

extension Response {
    /// A long answer is written piece by piece, so that it is never there whole.
    ///
    /// - Parameter held: let go of once all is written.
    init(json: JSONValue, holding held: LogprobBudget.Reservation) {
        guard json.isLong else {
            self.init(json: json)
            return
        }
        self.init(
            status: .ok, headers: [.contentType: "application/json"],
            body: ResponseBody { writer in
                var bytes: [UInt8] = []
                try await json.write(to: &bytes) { piece in
                    try await writer.write(ByteBuffer(bytes: piece))
                    piece.removeAll(keepingCapacity: true)
                }
                try await writer.write(ByteBuffer(bytes: bytes))
                try await writer.finish(nil)
                withExtendedLifetime(held) {}
            })
    }

    init(status: HTTPResponse.Status = .ok, json: JSONValue) {
        self.init(
            status: status, headers: [.contentType: "application/json"],
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: json.encoded)))
    }
}
