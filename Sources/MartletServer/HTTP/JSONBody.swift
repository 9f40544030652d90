// SPDX-License-Identifier: Apache-2.0

import HTTPTypes
import Hummingbird
import NIOCore

extension Request {
    /// The bytes of a JSON body, if there are no more than allowed.
    ///
    /// Other content types, or none, are refused: those are what a page in a browser may send to a server on the same
    /// machine without asking anybody.
    func jsonBytes(_ context: ServerContext, limit: Int) async throws -> [UInt8] {
        let field = headers[.contentType]?.prefix { $0 != ";" } ?? ""
        let type = field.utf8.count <= 256 ? field.lowercased().trimmingSpaces : ""
        guard type == "application/json" || type.hasSuffix("+json") else {
            let given = field.isEmpty ? "missing" : String(decoding: field.utf8.prefix(100), as: UTF8.self)
            throw ServerError(
                .unsupportedMediaType,
                "the body's Content-Type is \(given); send the header Content-Type: application/json")
        }
        let coding = headers[.contentEncoding] ?? ""
        guard coding.utf8.count <= 256, ["", "identity"].contains(coding.lowercased()) else {
            throw ServerError(.unsupportedMediaType, "the body must not be compressed")
        }
        if let length = headers[.contentLength].flatMap({ Int($0) }), length > limit {
            throw ServerError.bodyTooLarge(limit)
        }
        context.wantBody()
        do {
            return Array(buffer: try await body.collect(upTo: limit))
        } catch is NIOTooManyBytesError {
            throw ServerError.bodyTooLarge(limit)
        }
    }
}

extension StringProtocol {
    fileprivate var trimmingSpaces: String {
        String(drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
    }
}
