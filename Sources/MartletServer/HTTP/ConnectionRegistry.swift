// SPDX-License-Identifier: Apache-2.0

import NIOCore
import OrderedCollections
import Synchronization

/// Asks a connection to close, if no request is open on it.
struct CloseIfIdle: Sendable {}

/// All open connections. Where there are too many, the one that has been idle longest makes room.
final class ConnectionRegistry: Sendable {
    /// Connections beyond the limit, on which probes are answered while all others are busy.
    static let reserve = 32

    private struct State {
        var count = 0
        /// Connections without an open request, longest first.
        var idle: OrderedDictionary<ObjectIdentifier, any Channel> = [:]
    }

    private let limit: Int
    private let state = Mutex(State())

    init(limit: Int) { self.limit = limit }

    /// Counts a new connection.
    ///
    /// - Returns: false if there are too many and none of them is idle: then it may ask for little.
    func open(_ channel: any Channel) -> Bool {
        let (hasRoom, victim) = state.withLock { state -> (Bool, (any Channel)?) in
            state.count += 1
            defer { state.idle[ObjectIdentifier(channel)] = channel }
            guard state.count > limit else { return (true, nil) }
            guard let victim = state.idle.values.first else { return (false, nil) }
            state.idle.removeFirst()
            return (true, victim)
        }
        victim?.pipeline.fireUserInboundEventTriggered(CloseIfIdle())
        return hasRoom
    }

    func setIdle(_ isIdle: Bool, _ channel: any Channel) {
        state.withLock { state in
            let id = ObjectIdentifier(channel)
            guard (state.idle[id] == nil) == isIdle else { return }
            state.idle[id] = isIdle ? channel : nil
        }
    }

    func close(_ channel: any Channel) {
        state.withLock { state in
            state.count -= 1
            state.idle[ObjectIdentifier(channel)] = nil
        }
    }
}
