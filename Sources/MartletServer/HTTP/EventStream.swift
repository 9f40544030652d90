// SPDX-License-Identifier: Apache-2.0

import Hummingbird
import Martlet
import NIOCore

/// Writes server-sent events.
struct EventStream {
    private var writer: any ResponseBodyWriter

    /// A response whose body is written event by event, after which the stream is done. What goes wrong on the way is the
    /// last event but that; a client that has gone gets nothing.
    static func response(
        metrics: ServerMetrics, _ write: @escaping @Sendable (inout EventStream) async throws -> Void
    ) -> Response {
        Response(
            status: .ok,
            headers: [.contentType: "text/event-stream; charset=utf-8", .cacheControl: "no-cache"],
            body: ResponseBody { writer in
                var events = EventStream(writer: writer)
                do {
                    try await write(&events)
                } catch is ClientGone {
                    metrics.countDisconnected()
                    throw ClientGone()
                } catch let error as ChannelError {
                    metrics.countDisconnected()
                    throw error
                } catch {
                    try await events.send(ServerError(error).body)
                }
                try await events.writer.write(ByteBuffer(string: "data: [DONE]\n\n"))
                try await events.writer.finish(nil)
            })
    }

    mutating func send(_ event: JSONValue) async throws {
        var bytes: [UInt8] = Array("data: ".utf8)
        event.write(to: &bytes)
        bytes += "\n\n".utf8
        try await writer.write(ByteBuffer(bytes: bytes))
    }

    /// A comment, which clients pass over.
    mutating func sendSignOfLife() async throws {
        try await writer.write(ByteBuffer(string: ": keep-alive\n\n"))
    }
}

extension EventStream {
    /// Whether a piece says nothing but that its request is alive.
    static func isSignOfLife(_ piece: GenerationPiece) -> Bool {
        piece.tokens.isEmpty && piece.text.isEmpty && piece.promptScores.isEmpty && piece.summary == nil
    }
}
