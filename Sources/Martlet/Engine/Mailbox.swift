// SPDX-License-Identifier: Apache-2.0

import Dispatch
import Synchronization

/// What is asked of the engine's thread.
enum EngineCommand: Sendable {
    case generate(ValidatedRequest, GenerationStream.Continuation, CancellationFlag)
    /// Scores of the tokens after each position of the range.
    case score([Int32], positions: Range<Int>, CheckedContinuation<[TokenScore], any Error>)
    case stop
}

/// Set by a caller that no longer wants its answer, read by the engine between steps.
final class CancellationFlag: Sendable {
    private let flag = Atomic<Bool>(false)
    var isSet: Bool { flag.load(ordering: .relaxed) }
    func set() { flag.store(true, ordering: .relaxed) }
}

/// Commands on their way to the engine's thread, in order.
final class Mailbox: Sendable {
    private let commands = Mutex<[EngineCommand]>([])
    private let arrived = DispatchSemaphore(value: 0)

    func post(_ command: EngineCommand) {
        commands.withLock { $0.append(command) }
        arrived.signal()
    }

    /// Waits for a command.
    func next() -> EngineCommand {
        arrived.wait()
        return commands.withLock { $0.removeFirst() }
    }
}
