// SPDX-License-Identifier: Apache-2.0

import Glibc

/// The right to listen at the path of a Unix domain socket, for as long as it is held.
///
/// NIO removes whatever socket it finds at a path, a running server's too, and again when it ends. So servers claim a
/// path by a locked file beside it first.
package final class SocketClaim: Sendable {
    private let lock: Int32
    private let path: String
    /// Whether the claim was made: the lock of another server must not be removed.
    private let isHeld: Bool

    /// - Throws: if another program listens at the path, or if nothing can.
    package init(_ path: String) throws(ConfigurationError) {
        func fault(_ reason: String) -> ConfigurationError {
            ConfigurationError(description: "can't listen at \(path): \(reason)")
        }
        let longest = MemoryLayout<sockaddr_un>.size - (MemoryLayout<sockaddr_un>.offset(of: \.sun_path) ?? 2) - 1
        guard !path.isEmpty, path.utf8.count <= longest else {
            throw fault("the path of a socket has 1 to \(longest) bytes, not \(path.utf8.count)")
        }
        var status = stat()
        if lstat(path, &status) == 0, status.st_mode & S_IFMT != S_IFSOCK {
            throw fault("it is a file and no socket; choose another path")
        }
        self.path = path + ".lock"
        lock = open(self.path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        let reason = String(cString: strerror(errno))
        isHeld = lock >= 0 && flock(lock, LOCK_EX | LOCK_NB) == 0 && !Self.isAnswered(path)
        guard lock >= 0 else { throw fault(reason) }
        guard isHeld else { throw fault("it is in use by another program; stop that one or choose another path") }
    }

    deinit {
        if isHeld { unlink(path) }
        if lock >= 0 { close(lock) }
    }

    /// Whether a process listens there that knows nothing of the lock.
    private static func isAnswered(_ path: String) -> Bool {
        let socket = Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        guard socket >= 0 else { return false }
        defer { close(socket) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        return withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(socket, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) == 0
            }
        }
    }
}

extension ServerConfiguration.Address {
    /// The right to listen there, where it must be claimed.
    func claim() throws(ConfigurationError) -> SocketClaim? {
        guard case .unix(let path) = self else { return nil }
        return try SocketClaim(path)
    }
}
