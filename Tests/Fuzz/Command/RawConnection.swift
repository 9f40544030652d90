// SPDX-License-Identifier: Apache-2.0

import Foundation

/// A connection to a server on this machine that sends whatever it is given.
final class RawConnection {
    private let socket: Int32

    init?(port: Int) {
        socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var timeout = timeval(tv_sec: 6, tv_usec: 0)
        setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
        // Tens of thousands of connections must not wait for their ports.
        var linger = linger(l_onoff: 1, l_linger: 0)
        setsockopt(socket, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout<Glibc.linger>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = UInt16(truncatingIfNeeded: port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        if result != 0 {
            close(socket)
            return nil
        }
    }

    deinit { close(socket) }

    func send(_ bytes: [UInt8]) -> Bool {
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

    enum Received { case bytes([UInt8]), closed, nothing }

    func receive() -> Received {
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        let count = recv(socket, &buffer, buffer.count, 0)
        if count > 0 { return .bytes(Array(buffer.prefix(count))) }
        return count < 0 && errno == EAGAIN ? .nothing : .closed
    }

    /// The status of one answer, read to its end; nil if the server closed, -1 if nothing came in time.
    func status() -> Int? {
        var bytes: [UInt8] = []
        while true {
            if let status = Self.status(of: bytes) { return status }
            switch receive() {
            case .bytes(let more): bytes += more
            case .closed: return nil
            case .nothing: return -1
            }
        }
    }

    private static func status(of bytes: [UInt8]) -> Int? {
        let text = String(decoding: bytes, as: UTF8.self)
        guard let split = text.range(of: "\r\n\r\n") else { return nil }
        let head = text[..<split.lowerBound].lowercased()
        let isWhole: Bool
        if head.contains("transfer-encoding: chunked") {
            isWhole = text.hasSuffix("\r\n0\r\n\r\n")
        } else {
            let length = head.split(separator: "\r\n").first { $0.hasPrefix("content-length:") }
                .flatMap { Int($0.dropFirst(15).trimmingCharacters(in: .whitespaces)) }
            isWhole = text[split.upperBound...].utf8.count >= length ?? 0
        }
        return isWhole ? Int(head.split(separator: " ").dropFirst().first ?? "") : nil
    }
}

/// Counts of what several threads saw.
final class Tally: @unchecked Sendable {
    // Guarded by the lock.
    private var counts: [String: Int] = [:]
    private let lock = NSLock()

    func add(_ name: String) { lock.withLock { counts[name, default: 0] += 1 } }
    subscript(name: String) -> Int { lock.withLock { counts[name] ?? 0 } }
    var text: String {
        lock.withLock { counts.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", ") }
    }

    /// Runs work on some threads and waits for all of them.
    func onThreads(_ count: Int, _ work: @escaping @Sendable (Int) -> Void) {
        let group = DispatchGroup()
        for index in 0..<count {
            group.enter()
            Thread.detachNewThread {
                work(index)
                group.leave()
            }
        }
        group.wait()
    }
}
