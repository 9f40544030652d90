// SPDX-License-Identifier: Apache-2.0

import Dispatch
import Foundation

extension DispatchSource {
    /// Runs `act` for each signal of this number instead of what the system does by default, until it is cancelled.
    ///
    /// - Returns: the source; the default stays replaced after its end.
    static func acting(onSignal number: Int32, _ act: @escaping @Sendable () -> Void) -> any DispatchSourceSignal {
        let source = makeSignalSource(signal: number, queue: .global())
        source.setEventHandler(handler: act)
        // On Linux the source replaces the default itself. To ignore the signal before would lose one that comes
        // meanwhile, and to ignore it later would lose them all.
        let listens = DispatchSemaphore(value: 0)
        source.setRegistrationHandler { listens.signal() }
        source.activate()
        _ = listens.wait(timeout: .now() + 1)
        return source
    }
}
