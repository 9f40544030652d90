// SPDX-License-Identifier: Apache-2.0

import HTTPTypes
import Hummingbird

/// Finds the route that a request is for, and answers it.
///
/// Paths are compared decoded, without a slash at their end, and nowhere else.
struct RouteTable: HTTPResponder {
    typealias Context = ServerContext

    /// Routes by their paths; those of a pattern `/v1/models/{name}` by what stands before the name, with its slash.
    private let exact: [String: [Route]]
    private let patterns: [(prefix: String, routes: [Route])]
    private let log: RequestLog
    private let keys: APIKeys
    private let hosts: AllowedHosts

    init(_ routes: [Route], log: RequestLog, keys: APIKeys, hosts: AllowedHosts) {
        var (exact, named) = ([String: [Route]](), [String: [Route]]())
        for route in routes {
            if let brace = route.path.firstIndex(of: "{") {
                named[String(route.path[..<brace]), default: []].append(route)
            } else {
                exact[route.path, default: []].append(route)
            }
        }
        self.exact = exact
        patterns = named.map { ($0.key, $0.value) }
        self.log = log
        self.keys = keys
        self.hosts = hosts
    }

    func respond(to request: Request, context: ServerContext) async throws -> Response {
        let match = match(request)
        let response = try await log.answer(request, context, route: match.pattern) { context in
            if let refusal = RequestRefusal(of: request) { throw refusal.error }
            try hosts.check(request.head.authority)
            // Before it is said which routes there are.
            if !match.isOpen { try keys.check(request.headers) }
            return try await match.respond(request, context)
        }
        // A head alone: not even an error has a body then.
        return request.method == .head ? response.createHeadResponse() : response
    }

    private struct Match {
        var pattern: String?
        var isOpen = false
        let respond: @Sendable (Request, ServerContext) async throws -> Response
    }

    private func match(_ request: Request) -> Match {
        let path = Self.normalized(request.uri.path)
        guard let path, let (routes, name) = find(path) else {
            return Match { _, _ in
                throw ServerError(.notFound, Self.noRoute(request.uri.path), code: "not_found")
            }
        }
        let method = request.method == .head && !routes.contains { $0.method == .head } ? .get : request.method
        guard let route = routes.first(where: { $0.method == method }) else {
            var allowed = routes.map(\.method.rawValue)
            if allowed.contains("GET") { allowed.append("HEAD") }
            let list = allowed.joined(separator: ", ")
            return Match(pattern: routes.first?.path) { request, _ in
                throw ServerError.methodNotAllowed(request.method.rawValue, allowed: list)
            }
        }
        return Match(pattern: route.path, isOpen: route.isOpen) { request, context in
            var context = context
            context.name = name
            return try await route.respond(request, context)
        }
    }

    private static func noRoute(_ path: String) -> String {
        let path = path.utf8.count > 200 ? String(decoding: path.utf8.prefix(200), as: UTF8.self) + "…" : path
        return "this server has no route \(path); it has /v1/chat/completions, /v1/completions and /v1/models, "
            + "for which a client's base URL ends in /v1, /tokenize, /detokenize, /health, /ready and /metrics"
    }

    private func find(_ path: String) -> (routes: [Route], name: String)? {
        if let routes = exact[path] { return (routes, "") }
        for (prefix, routes) in patterns where path.utf8.count > prefix.utf8.count && path.hasPrefix(prefix) {
            return (routes, String(path.dropFirst(prefix.count)))
        }
        return nil
    }

    /// A path decoded, without a slash at its end; nil where it is no text.
    private static func normalized(_ path: String) -> String? {
        var bytes: [UInt8] = []
        var rest = Array(path.utf8)[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            let digits = rest.prefix(2)
            guard digits.count == 2, digits.allSatisfy({ Character(Unicode.Scalar($0)).isHexDigit }),
                let decoded = UInt8(String(decoding: digits, as: UTF8.self), radix: 16)
            else { return nil }
            bytes.append(decoded)
            rest = rest.dropFirst(2)
        }
        if bytes.count > 1, bytes.last == UInt8(ascii: "/") { bytes.removeLast() }
        // A text of many combining marks takes long to compare; no path of ours has one.
        guard bytes.count <= 2048, bytes.allSatisfy({ $0 >= 0x20 }) else { return nil }
        return String(validating: bytes, as: UTF8.self)
    }
}
