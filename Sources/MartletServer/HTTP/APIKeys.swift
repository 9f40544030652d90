// SPDX-License-Identifier: Apache-2.0

import Foundation
import HTTPTypes

/// Lets in clients that know a key.
///
/// A key comes as a bearer token, or as the password of basic authentication, which browsers ask their users for.
struct APIKeys: Sendable {
    private let keys: [[UInt8]]

    init(_ keys: [String]) { self.keys = keys.map { Array($0.utf8) } }

    func check(_ headers: HTTPFields) throws(ServerError) {
        guard keys.isEmpty || isAuthorized(headers[.authorization]) else {
            throw ServerError(
                .unauthorized, "a valid API key is missing: send it as Authorization: Bearer KEY",
                code: "invalid_api_key")
        }
    }

    private func isAuthorized(_ header: String?) -> Bool {
        guard let header, let space = header.firstIndex(of: " ") else { return false }
        let credentials = header[space...].drop { $0 == " " }
        switch header[..<space].utf8.count <= 16 ? header[..<space].lowercased() : "" {
        case "bearer": return isKey(Array(credentials.utf8))
        case "basic":
            guard let data = Data(base64Encoded: String(credentials)),
                let colon = data.firstIndex(of: UInt8(ascii: ":"))
            else { return false }
            return isKey(Array(data[colon...].dropFirst()))
        default: return false
        }
    }

    /// Takes as long for a near miss as for a far one: it says nothing about a key but, at most, its length.
    private func isKey(_ candidate: [UInt8]) -> Bool {
        var matches = false
        for key in keys {
            var difference = UInt8(key.count == candidate.count ? 0 : 1)
            for index in key.indices { difference |= key[index] ^ (index < candidate.count ? candidate[index] : 0) }
            matches = matches || difference == 0
        }
        return matches
    }
}
