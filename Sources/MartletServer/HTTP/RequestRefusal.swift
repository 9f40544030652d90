// SPDX-License-Identifier: Apache-2.0

import HTTPTypes
import Hummingbird
import NIOHTTP1

/// Why a connection refuses a request whose head breaks HTTP's rules, or that there is no room for.
///
/// The connection sees what a handler doesn't: HTTP's version and the fields as they came. It marks the request with a
/// field of its own, and the handler answers.
enum RequestRefusal: String {
    case host, transferCoding, expectation, busy

    private static let field = "x-martlet-refusal"

    /// - Parameter isReserve: whether the connection is for probes alone.
    init?(_ head: HTTPRequestHead, isReserve: Bool) {
        let isHTTP10 = head.version.minor == 0
        let hosts = head.headers["host"].count
        let codings = head.headers[canonicalForm: "transfer-encoding"].map { $0.lowercased() }
        let expectations = head.headers[canonicalForm: "expect"].map { $0.lowercased() }
        if isHTTP10 ? hosts > 1 : hosts != 1 {
            self = .host
        } else if let named = Self.authority(head.uri), named != head.headers["host"].first?.lowercased() {
            self = .host
        } else if !codings.isEmpty, isHTTP10 || codings != ["chunked"] {
            self = .transferCoding
        } else if !isHTTP10, !expectations.isEmpty, expectations != ["100-continue"] {
            self = .expectation
        } else if isReserve, !["/health", "/ready"].contains(head.uri) {
            self = .busy
        } else {
            return nil
        }
    }

    /// The authority that the target of a request to a proxy names; nil for a path.
    private static func authority(_ target: String) -> String? {
        guard !target.hasPrefix("/"), target.utf8.count <= 2048, let start = target.firstRange(of: "://") else {
            return nil
        }
        return target[start.upperBound...].prefix { $0 != "/" && $0 != "?" && $0 != "#" }.lowercased()
    }

    /// What a marked request is refused for.
    init?(of request: Request) {
        guard let name = HTTPField.Name(Self.field), let value = request.headers[name] else { return nil }
        self.init(rawValue: value)
    }

    /// Marks a request, or takes away a mark that its client made.
    static func mark(_ headers: inout HTTPHeaders, _ refusal: RequestRefusal?) {
        headers.remove(name: field)
        if let refusal { headers.add(name: field, value: refusal.rawValue) }
    }

    /// Whether nothing more can be read behind the request.
    var closesConnection: Bool { self != .expectation }

    var error: ServerError {
        switch self {
        case .host:
            ServerError(
                .badRequest, "an HTTP/1.1 request has one Host field, which names what an absolute target names",
                code: "invalid_host")
        case .transferCoding:
            ServerError(
                .notImplemented, "the only Transfer-Encoding that is supported is chunked, in HTTP/1.1",
                code: "unsupported_transfer_encoding")
        case .expectation:
            ServerError(
                .expectationFailed, "the only Expect that is supported is 100-continue", code: "unsupported_expectation"
            )
        case .busy:
            ServerError(
                .serviceUnavailable, "all connections are busy; try again later", code: "too_many_connections")
        }
    }
}
