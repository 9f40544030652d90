// SPDX-License-Identifier: Apache-2.0

import Hummingbird
import NIOCore

/// What a request carries through the server beside its body.
struct ServerContext: RequestContext {
    var coreContext: CoreRequestContextStorage
    /// What answers and logs call the request.
    var requestID = ""
    private let channel: any Channel

    init(source: ApplicationRequestContextSource) {
        coreContext = CoreRequestContextStorage(source: source)
        channel = source.channel
    }

    /// The client at the other end of the connection.
    var client: ClientPresence {
        get async throws {
            let channel = channel
            return try await channel.eventLoop.submit {
                try channel.pipeline.syncOperations.handler(type: ConnectionGuard.self).presence
            }.get()
        }
    }
}
