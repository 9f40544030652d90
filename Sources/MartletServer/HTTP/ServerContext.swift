// SPDX-License-Identifier: Apache-2.0

import Hummingbird
import NIOCore
import Synchronization

/// How a stream has ended, as logs call it.
final class StreamOutcome: Sendable {
    private let name = Mutex("complete")

    /// Notes the error that was its last event.
    func fail(_ error: ServerError) { name.withLock { $0 = "error: \(error.code ?? error.message)" } }

    var text: String { name.withLock { $0 } }
}

/// What a request carries through the server beside its body.
struct ServerContext: RequestContext {
    var coreContext: CoreRequestContextStorage
    /// What answers and logs call the request.
    var requestID = ""
    /// What a route's pattern has in braces, decoded.
    var name = ""
    /// How a stream that answers it has ended.
    let outcome = StreamOutcome()
    private let channel: any Channel

    init(source: ApplicationRequestContextSource) {
        coreContext = CoreRequestContextStorage(source: source)
        channel = source.channel
    }

    /// When it came.
    let start = ContinuousClock.now

    /// Whether anybody is left to be answered.
    var isConnected: Bool { channel.isActive }

    /// Tells the client that waits for it to send the request's body.
    func wantBody() { channel.triggerUserOutboundEvent(BodyWanted(), promise: nil) }

    /// The client at the other end of the connection.
    var client: ClientPresence {
        get async throws {
            let channel = channel
            do {
                return try await channel.eventLoop.submit {
                    try channel.pipeline.syncOperations.handler(type: ConnectionGuard.self).presence
                }.get()
            } catch {
                // A connection that is closed has no handlers any more.
                throw ClientGone()
            }
        }
    }
}
