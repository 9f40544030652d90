// SPDX-License-Identifier: Apache-2.0

import HTTPTypes
import Hummingbird
import Logging
import NIOHTTP1

/// Names every request, turns what goes wrong into an answer, counts and logs what was answered.
struct RequestLog: Sendable {
    let metrics: ServerMetrics
    let logsAccess: Bool
    let logger: Logger

    private static let idField = HTTPField.Name("x-request-id")

    /// - Parameter route: the pattern that matched; nil for none.
    func answer(
        _ request: Request, _ context: ServerContext, route: String?,
        by respond: (ServerContext) async throws -> Response
    ) async throws -> Response {
        var context = context
        context.requestID = Self.idField.flatMap { request.headers[$0] }.flatMap(Self.usable) ?? "\(RequestID())"
        context.logger = logger
        context.logger[metadataKey: "request_id"] = "\(context.requestID)"
        var response: Response
        do {
            response = try await respond(context)
        } catch let error as HTTPParserError where error != .invalidEOFState {
            // The request is no HTTP. Hummingbird answers 400 and closes.
            throw error
        } catch  where error is ClientGone || error is HTTPParserError || !context.isConnected {
            metrics.countDisconnected()
            // The client has gone; 499 is what proxies log then.
            response = Response(status: HTTPResponse.Status(code: 499, reasonPhrase: "Client Closed Request"))
        } catch {
            let failure = ServerError(error)
            if failure.status == .internalServerError { context.logger.error("\(error)") }
            response = failure.response
        }
        if let name = Self.idField { response.headers[name] = context.requestID }
        metrics.countAnswered(
            route: route ?? "none", method: Self.known(request.method), status: response.status.code)
        guard logsAccess else { return response }
        guard response.headers[.contentType]?.hasPrefix("text/event-stream") == true else {
            log(request, context, response.status, outcome: nil)
            return response
        }
        // A stream is answered when it has ended.
        let (settled, status, body) = (context, response.status, response.body)
        response.body = ResponseBody { writer in
            do {
                try await body.write(writer)
                log(request, settled, status, outcome: settled.outcome.text)
            } catch {
                log(request, settled, status, outcome: "aborted")
                throw error
            }
        }
        return response
    }

    private func log(
        _ request: Request, _ context: ServerContext, _ status: HTTPResponse.Status, outcome: String?
    ) {
        var metadata: Logger.Metadata = [
            "method": "\(request.method.rawValue)", "path": "\(request.uri.path)", "status": "\(status.code)",
            "seconds": "\((ContinuousClock.now - context.start) / .seconds(1))",
        ]
        if let outcome { metadata["stream"] = "\(outcome)" }
        context.logger.info("answered", metadata: metadata)
    }

    /// A client's own name for its request, if it can be put into a header and a log.
    private static func usable(_ id: String) -> String? {
        (1...128).contains(id.utf8.count) && id.utf8.allSatisfy { (0x21...0x7E).contains($0) } ? id : nil
    }

    /// Methods that clients invent are counted as one.
    private static func known(_ method: HTTPRequest.Method) -> String {
        let methods: [HTTPRequest.Method] = [.get, .head, .post, .put, .delete, .options, .patch]
        return methods.contains(method) ? method.rawValue : "other"
    }
}
