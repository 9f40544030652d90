// SPDX-License-Identifier: Apache-2.0

import Foundation

/// A TCP connection to a server on this machine, of which only bytes are known.
package final class LoopbackSocket: Sendable {
    private let socket: Int32

    /// - Parameters:
    ///   - timeout: seconds that `receive` waits.
    ///   - configure: sets further options, before the connection is made.
    /// - Returns: nil where the connection isn't accepted; `errno` says why.
    package init?(port: Int, timeout: Int, configure: (Int32) -> Void = { _ in }) {
        socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        Self.set(SO_RCVTIMEO, to: timeval(tv_sec: timeout, tv_usec: 0), of: socket)
        configure(socket)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = UInt16(truncatingIfNeeded: port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        if result != 0 { return nil }
    }

    deinit { close(socket) }

    /// Sets an option of a socket.
    package static func set<Value>(_ option: Int32, to value: Value, of socket: Int32) {
        withUnsafeBytes(of: value) { bytes in
            _ = setsockopt(socket, SOL_SOCKET, option, bytes.baseAddress, socklen_t(bytes.count))
        }
    }

    /// False where the server has closed, or takes nothing.
    package func send(_ bytes: [UInt8]) -> Bool {
        var sent = 0
        while sent < bytes.count {
            let count = bytes[sent...].withUnsafeBytes {
                Glibc.send(socket, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { return false }
            sent += count
        }
        return true
    }

    package enum Received: Sendable { case bytes([UInt8]), closed, nothing }

    package func receive() -> Received {
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        let count = recv(socket, &buffer, buffer.count, 0)
        if count > 0 { return .bytes(Array(buffer.prefix(count))) }
        return count < 0 && errno == EAGAIN ? .nothing : .closed
    }

    /// Goes without a word; the system then resets the connection if there was something unread.
    package func leave() { shutdown(socket, Int32(SHUT_RDWR)) }
    /// Says that nothing more will be sent.
    package func closeSending() { shutdown(socket, Int32(SHUT_WR)) }
}
