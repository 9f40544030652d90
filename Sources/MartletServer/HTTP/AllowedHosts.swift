// SPDX-License-Identifier: Apache-2.0

/// The names that a server may be called by, where anybody on its machine may use it without a key.
///
/// A page in a browser can have its own name point to this machine and then ask the server whatever it likes; what it
/// can't do is to ask under another name.
struct AllowedHosts: Sendable {
    /// nil allows all.
    private let names: Set<String>?

    init(_ configuration: ServerConfiguration) {
        guard case .tcp(let host, _) = configuration.address, configuration.address.isLoopback,
            configuration.apiKeys.isEmpty, !configuration.allowedHosts.contains("*")
        else {
            names = nil
            return
        }
        names = Set(
            (["localhost", "127.0.0.1", "::1", "[::1]", host, "[\(host)]"] + configuration.allowedHosts).map {
                $0.lowercased()
            })
    }

    /// - Parameter authority: the Host field; nil where HTTP/1.0 sends none.
    func check(_ authority: String?) throws(ServerError) {
        guard let names, let authority else { return }
        guard authority.utf8.count <= 256, names.contains(Self.name(authority).lowercased()) else {
            throw ServerError(
                .forbidden,
                "this server answers under the names of its own machine alone; --allowed-host permits another",
                code: "host_not_allowed")
        }
    }

    /// Without the port; all of it where what follows the name is none.
    private static func name(_ authority: String) -> String {
        var end = authority.firstIndex(of: ":") ?? authority.endIndex
        if authority.hasPrefix("["), let bracket = authority.firstIndex(of: "]") {
            end = authority.index(after: bracket)
        }
        let port = authority[end...]
        let isPort =
            port.isEmpty || (port.hasPrefix(":") && port.dropFirst().utf8.allSatisfy { (0x30...0x39).contains($0) })
        return isPort ? String(authority[..<end]) : authority
    }
}
