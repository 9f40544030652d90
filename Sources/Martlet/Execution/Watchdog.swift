// SPDX-License-Identifier: Apache-2.0

import Dispatch
import MartletCompute
import MartletText
import Synchronization

/// Watches the engine's thread from another one: requests that it doesn't get on with are given up.
///
/// The thread can't be interrupted in a step. Its readers are told, and should it come back, it finds an order to forget
/// what it was doing.
final class Watchdog: Sendable {
    private let counters: EngineCounters
    private let mailbox: Mailbox
    private let timeout: Double
    private let channels = Lock<[RequestID: WeakChannel]>([:])
    private let stalled = Atomic<Bool>(false)
    private let ended = DispatchSemaphore(value: 0)

    private struct WeakChannel { weak var channel: TokenChannel? }

    init(counters: EngineCounters, mailbox: Mailbox, timeout: Double) {
        self.counters = counters
        self.mailbox = mailbox
        self.timeout = timeout
    }

    var isStalled: Bool { stalled.load(ordering: .relaxed) }

    func watch(_ channel: TokenChannel, of id: RequestID) {
        channels.withLock { channels in
            // Those that ended are swept out when their number has doubled.
            if channels.count >= 64, channels.count.nonzeroBitCount == 1 {
                channels = channels.filter { $0.value.channel?.end == .open }
            }
            channels[id] = WeakChannel(channel: channel)
        }
    }

    /// - Returns: whether the system started its thread.
    func start() -> Bool { KnownStack.startThread { [self] in watch() } }

    func stop() { ended.signal() }

    private func watch() {
        var beats = -1
        var quiet = 0.0
        let interval = min(1, timeout / 4)
        while ended.wait(timeout: .now() + interval) == .timedOut {
            let now = counters.beats.load(ordering: .relaxed)
            let isQuiet = now == beats && counters.requests.load(ordering: .relaxed) > 0
            beats = now
            quiet = isQuiet ? quiet + interval : 0
            if !isQuiet { stalled.store(false, ordering: .relaxed) }
            guard quiet >= timeout else { continue }
            // Again for those that slip in later.
            quiet = 0
            stalled.store(true, ordering: .relaxed)
            mailbox.post(.cancelAll(.stalled))
            for channel in channels.withLock({ $0.values.compactMap(\.channel) }) { channel.close(.stalled) }
        }
    }
}
