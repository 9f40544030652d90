// SPDX-License-Identifier: Apache-2.0

import Dispatch
import Foundation

extension DispatchSource {
    /// Runs `act` for each signal of this number instead of what the system does by default, until it is cancelled.
    ///
    /// - Returns: the source; the default stays replaced after its end.
    static func acting(onSignal number: Int32, _ act: @escaping @Sendable () -> Void) -> any DispatchSourceSignal {
        signal(number, SIG_IGN)
        let source = makeSignalSource(signal: number, queue: .global())
        source.setEventHandler(handler: act)
        source.activate()
        return source
    }
}
