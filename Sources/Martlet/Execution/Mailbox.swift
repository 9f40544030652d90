// SPDX-License-Identifier: Apache-2.0

import Dispatch
import MartletCompute

/// What is asked of the engine's thread.
package enum EngineCommand: Sendable {
    case add(RequestID, ValidatedRequest, TokenChannel)
    /// Ends a request, or one of its samples. Those that are finished are not meant.
    case cancel(RequestID, sample: Int?)
    /// Ends all requests.
    case cancelAll(ChannelEnd)
    /// Serves what was asked before, then ends.
    case stop
}

/// Commands on their way to the engine's thread, in order.
package final class Mailbox: Sendable {

    package init() {}
    private struct State {
        var commands: [EngineCommand] = []
        var isClosed = false
        var isAwaited = false
    }

    private let state = Lock(State())
    private let arrived = DispatchSemaphore(value: 0)

    /// False where its reader has gone.
    @discardableResult package func post(_ command: EngineCommand) -> Bool {
        let (isOpen, isAwaited) = state.withLock { state in
            if !state.isClosed { state.commands.append(command) }
            defer { state.isAwaited = false }
            return (!state.isClosed, state.isAwaited)
        }
        if isAwaited { arrived.signal() }
        return isOpen
    }

    var isEmpty: Bool { state.withLock { $0.commands.isEmpty } }

    /// Whether its reader has nothing else to do than to wait for a command, or has gone.
    var isAwaited: Bool { state.withLock { $0.isAwaited || $0.isClosed } }

    /// Moves what has come into an empty array.
    func drain(into commands: inout [EngineCommand]) {
        state.withLock { swap(&$0.commands, &commands) }
    }

    /// The same, but waits until there is one.
    func wait(into commands: inout [EngineCommand]) {
        let mustWait = state.withLock { state in
            state.isAwaited = state.commands.isEmpty
            return state.isAwaited
        }
        if mustWait { arrived.wait() }
        drain(into: &commands)
    }

    /// Refuses what is posted from now on; returns what came before.
    func close() -> [EngineCommand] {
        state.withLock { state in
            state.isClosed = true
            defer { state.commands = [] }
            return state.commands
        }
    }
}
