// SPDX-License-Identifier: Apache-2.0

import MartletCompute

/// How far an engine has come: serving, draining, ended.
package final class EngineLifetime: Sendable {
    private struct State {
        var isDraining = false
        var hasEnded = false
        var failure: DeviceError?
        var waiters: [CheckedContinuation<Void, Never>] = []
    }

    private let state = Lock(State())

    var isDraining: Bool { state.withLock { $0.isDraining } }
    var hasEnded: Bool { state.withLock { $0.hasEnded } }

    /// Why the engine ended by itself; nil where it didn't.
    var failure: DeviceError? { state.withLock { $0.failure } }

    /// The device is lost: nothing is served any more. Known from the moment on that requests fail by it.
    func fail(_ error: DeviceError) { state.withLock { $0.failure = error } }

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
