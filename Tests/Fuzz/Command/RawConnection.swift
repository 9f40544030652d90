// SPDX-License-Identifier: Apache-2.0

import Foundation
import MartletTestSupport

extension LoopbackSocket {
    /// A connection that doesn't wait long for a server.
    static func hasty(port: Int) -> LoopbackSocket? {
        LoopbackSocket(port: port, timeout: 6) { socket in
            set(SO_SNDTIMEO, to: timeval(tv_sec: 6, tv_usec: 0), of: socket)
            // Tens of thousands of connections must not wait for their ports.
            set(SO_LINGER, to: linger(l_onoff: 1, l_linger: 0), of: socket)
        }
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
