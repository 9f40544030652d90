// SPDX-License-Identifier: Apache-2.0

import Foundation
import MartletTestSupport

/// A client that speaks HTTP by hand, so that it can speak it badly.
final class RawClient: Sendable {
    struct Fault: Error { let description: String }

    struct Answer {
        var status = 0
        var headers = ""
        var body = ""
        /// Whether the server closed the connection.
        var isClosed = false

        var json: [String: Any]? {
            (try? JSONSerialization.jsonObject(with: Data(body.utf8))) as? [String: Any]
        }
        var error: [String: Any]? { json?["error"] as? [String: Any] }
    }

    private let socket: LoopbackSocket

    /// - Parameter receiveBuffer: bytes that the system keeps of what isn't read; nil for its own choice.
    init(port: Int, receiveBuffer: Int32? = nil) throws {
        let socket = LoopbackSocket(port: port, timeout: 20) { socket in
            if let receiveBuffer { LoopbackSocket.set(SO_RCVBUF, to: receiveBuffer, of: socket) }
        }
        guard let socket else { throw Fault(description: "can't connect: \(errno)") }
        self.socket = socket
    }

    /// Off the threads that the server's own tasks need, and off Dispatch's: while as many of those as there are processors
    /// are blocked, it starts another only once a second.
    private func blocking<Result: Sendable>(_ work: @escaping @Sendable () throws -> Result) async throws -> Result {
        try await withCheckedThrowingContinuation { continuation in
            Thread.detachNewThread { continuation.resume(with: Swift.Result(catching: work)) }
        }
    }

    func send(_ bytes: some Sequence<UInt8>) async throws {
        let bytes = Array(bytes)
        try await blocking { [socket] in
            guard socket.send(bytes) else { throw Fault(description: "the server closed the connection") }
        }
    }

    func send(_ text: String) async throws { try await send(text.utf8) }

    /// Sends byte by byte, with a pause between two, until all is sent or the server closes.
    func drip(_ text: String, every pause: Duration) async {
        for byte in text.utf8 {
            do { try await send([byte]) } catch { return }
            try? await Task.sleep(for: pause)
        }
    }

    /// Some bytes; none where the server has closed.
    func receive() async throws -> [UInt8] {
        try await blocking { [socket] in
            switch socket.receive() {
            case .bytes(let bytes): return bytes
            case .closed: return []
            case .nothing: throw Fault(description: "nothing came for 20 seconds")
            }
        }
    }

    /// All that comes until the server closes.
    func receiveAll() async throws -> String {
        var all: [UInt8] = []
        while case let bytes = try await receive(), !bytes.isEmpty { all += bytes }
        return String(decoding: all, as: UTF8.self)
    }

    /// All that comes up to and including a text, or until the server closes.
    func receiveUntil(_ end: String) async throws -> String {
        var all: [UInt8] = []
        while !String(decoding: all, as: UTF8.self).hasSuffix(end), case let bytes = try await receive(), !bytes.isEmpty
        {
            all += bytes
        }
        return String(decoding: all, as: UTF8.self)
    }

    /// One whole answer, of a known length or in chunks.
    func answer() async throws -> Answer {
        var (bytes, answer) = ([UInt8](), Answer())
        let end = Array("\r\n\r\n".utf8)
        func find(_ pattern: [UInt8], from start: Int) -> Int? {
            guard bytes.count >= pattern.count + start else { return nil }
            return (start...bytes.count - pattern.count).first { bytes[$0..<$0 + pattern.count].elementsEqual(pattern) }
        }
        func more() async throws -> Bool {
            let next = try await receive()
            bytes += next
            return !next.isEmpty
        }
        while find(end, from: 0) == nil {
            guard try await more() else {
                answer.isClosed = true
                return answer
            }
        }
        let split = find(end, from: 0) ?? 0
        answer.headers = String(decoding: bytes[..<split], as: UTF8.self)
        answer.status = Int(answer.headers.split(separator: " ").dropFirst().first ?? "") ?? 0
        bytes.removeFirst(split + end.count)
        let fields = answer.headers.lowercased()
        if let line = fields.split(separator: "\r\n").first(where: { $0.hasPrefix("content-length:") }) {
            let length = Int(line.dropFirst(15).trimmingCharacters(in: .whitespaces)) ?? 0
            while bytes.count < length {
                guard try await more() else { break }
            }
            answer.body = String(decoding: bytes.prefix(length), as: UTF8.self)
        } else if fields.contains("transfer-encoding: chunked") {
            while find(Array("0\r\n\r\n".utf8), from: 0) == nil {
                guard try await more() else { break }
            }
            answer.body = Self.unchunked(bytes)
        }
        return answer
    }

    private static func unchunked(_ bytes: [UInt8]) -> String {
        var (rest, body) = (bytes[...], [UInt8]())
        while let end = rest.firstIndex(of: UInt8(ascii: "\r")),
            let length = Int(String(decoding: rest[..<end], as: UTF8.self), radix: 16), length > 0
        {
            body += rest.dropFirst(end - rest.startIndex + 2).prefix(length)
            rest = rest.dropFirst(end - rest.startIndex + 2 + length + 2)
        }
        return String(decoding: body, as: UTF8.self)
    }

    /// Goes without a word; the system then resets the connection if there was something unread.
    func leave() { socket.leave() }
    /// Says that it will send nothing more.
    func closeSending() { socket.closeSending() }

    static func post(_ path: String, _ body: String, headers: String = "Content-Type: application/json\r\n") -> String {
        "POST \(path) HTTP/1.1\r\nHost: 127.0.0.1\r\n\(headers)Content-Length: \(body.utf8.count)\r\n\r\n\(body)"
    }

    static func get(_ path: String, headers: String = "") -> String {
        "GET \(path) HTTP/1.1\r\nHost: 127.0.0.1\r\n\(headers)\r\n"
    }
}
