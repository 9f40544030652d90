// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// Whether the client of a connection is still there, for the request that is being answered on it.
package final class ClientPresence: Sendable {
    private struct State {
        var isGone = false
        var onLoss: (@Sendable () -> Void)?
    }

    private let state = Mutex(State())

    /// Runs an operation; `loss` is called, once, if the client goes before it returns, or has gone already.
    func watched<Result>(
        onLoss loss: @escaping @Sendable () -> Void, _ operation: () async throws -> Result
    ) async rethrows -> Result {
        let isGone = state.withLock { state in
            state.onLoss = loss
            return state.isGone
        }
        if isGone { loss() }
        defer { state.withLock { $0.onLoss = nil } }
        return try await operation()
    }

    package var isGone: Bool { state.withLock { $0.isGone } }

    func lose() {
        let loss = state.withLock { state in
            state.isGone = true
            defer { state.onLoss = nil }
            return state.onLoss
        }
        loss?()
    }
}
