// SPDX-License-Identifier: Apache-2.0

import NIOCore
import OrderedCollections
import Synchronization

/// Asks a connection to close, if no request is open on it.
struct CloseIfIdle: Sendable {}

/// All open connections. Where there are too many, the one that has been idle longest makes room.
package final class ConnectionRegistry: Sendable {
    /// Connections beyond the limit, on which probes are answered while all others are busy.
    package static let reserve = MartletServer.reservedConnections

    private struct State {
        /// Connections that may ask for anything, and all together.
        var full = 0
        var all = 0
        /// Full connections without an open request, longest first.
        var idle: OrderedDictionary<ObjectIdentifier, any Channel> = [:]
    }

    private let limit: Int
    private let state = Mutex(State())

    package init(limit: Int) { self.limit = limit }

    /// Counts a new connection.
    ///
    /// - Returns: false if there are too many and none of them is idle: then it may ask for little.
    func open(_ channel: any Channel) -> Bool {
        let (isFull, victim) = state.withLock { state -> (Bool, (any Channel)?) in
            state.all += 1
            var victim: (any Channel)?
            if state.full >= limit {
                guard let oldest = state.idle.values.first else { return (false, nil) }
                state.idle.removeFirst()
                victim = oldest
            }
            state.full += 1
            state.idle[ObjectIdentifier(channel)] = channel
            return (true, victim)
        }
        victim?.pipeline.fireUserInboundEventTriggered(CloseIfIdle())
        return isFull
    }

    /// Notes whether a full connection has an open request.
    func setIdle(_ isIdle: Bool, _ channel: any Channel) {
        let closes = state.withLock { state -> Bool in
            let id = ObjectIdentifier(channel)
            guard (state.idle[id] == nil) == isIdle else { return false }
            // While the reserve is needed, what becomes idle makes room for it.
            guard !isIdle || state.all <= limit else { return true }
            state.idle[id] = isIdle ? channel : nil
            return false
        }
        if closes { channel.pipeline.fireUserInboundEventTriggered(CloseIfIdle()) }
    }

    func close(_ channel: any Channel, isFull: Bool) {
        state.withLock { state in
            state.all -= 1
            if isFull { state.full -= 1 }
            state.idle[ObjectIdentifier(channel)] = nil
        }
    }
}
