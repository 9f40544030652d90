// SPDX-License-Identifier: Apache-2.0

import Hummingbird
import Logging
import MartletJSON
import NIOCore

/// Writes server-sent events.
struct EventStream {
    private var writer: any ResponseBodyWriter
    private let quietTime: Duration
    private var lastWrite = ContinuousClock.now

    /// A response whose body is written event by event, after which the stream is done. What goes wrong on the way is the
    /// last event but that; a client that has gone gets nothing.
    static func response(
        _ server: ServerState, _ context: ServerContext,
        _ write: @escaping @Sendable (inout EventStream) async throws -> Void
    ) -> Response {
        Response(
            status: .ok,
            headers: [.contentType: "text/event-stream; charset=utf-8", .cacheControl: "no-cache"],
            body: ResponseBody { writer in
                var events = EventStream(writer: writer, quietTime: .seconds(server.limits.keepAliveSeconds))
                do {
                    try await write(&events)
                } catch is ClientGone {
                    server.metrics.countDisconnected()
                    throw ClientGone()
                } catch let error as ChannelError {
                    server.metrics.countDisconnected()
                    throw error
                } catch {
                    let failure = ServerError(error)
                    if failure.status == .internalServerError { context.logger.error("\(error)") }
                    context.outcome.fail(failure)
                    try await events.send(failure.body)
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
        lastWrite = .now
    }

    /// A comment, which clients pass over, where nothing was sent for a while.
    mutating func keepAlive() async throws {
        // The heartbeat comes twice in that time, so three quarters of it are enough.
        guard ContinuousClock.now - lastWrite >= quietTime * 0.75 else { return }
        try await writer.write(ByteBuffer(string: ": keep-alive\n\n"))
        lastWrite = .now
    }
}
