// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// How far an engine has come: serving, draining, ended.
final class EngineLifetime: Sendable {
    private struct State {
        var isDraining = false
        var hasEnded = false
        var waiters: [CheckedContinuation<Void, Never>] = []
    }

    private let state = Mutex(State())

    var isDraining: Bool { state.withLock { $0.isDraining } }
    var hasEnded: Bool { state.withLock { $0.hasEnded } }

    func beginDraining() { state.withLock { $0.isDraining = true } }

    func end() {
        let waiters = state.withLock { state in
            state.hasEnded = true
            defer { state.waiters = [] }
            return state.waiters
        }
        for waiter in waiters { waiter.resume() }
    }

    func waitForEnd() async {
        await withCheckedContinuation { continuation in
            let hasEnded = state.withLock { state in
                if !state.hasEnded { state.waiters.append(continuation) }
                return state.hasEnded
            }
            if hasEnded { continuation.resume() }
        }
    }
}
