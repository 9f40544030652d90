// SPDX-License-Identifier: Apache-2.0

import HTTPTypes
import Hummingbird
import NIOCore

extension Request {
    /// The bytes of a JSON body, if there are no more than allowed.
    ///
    /// Other content types, or none, are refused: those are what a page in a browser may send to a server on the same
    /// machine without asking anybody.
    func jsonBytes(limit: Int) async throws -> [UInt8] {
        let type = headers[.contentType]?.prefix { $0 != ";" }.lowercased().trimmingSpaces ?? ""
        guard type == "application/json" || type.hasSuffix("+json") else {
            throw ServerError(.unsupportedMediaType, "the body's Content-Type must be application/json")
        }
        guard ["", "identity"].contains(headers[.contentEncoding]?.lowercased() ?? "") else {
            throw ServerError(.unsupportedMediaType, "the body must not be compressed")
        }
        if let length = headers[.contentLength].flatMap({ Int($0) }), length > limit {
            throw ServerError.bodyTooLarge(limit)
        }
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
