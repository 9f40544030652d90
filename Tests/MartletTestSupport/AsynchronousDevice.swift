// SPDX-License-Identifier: Apache-2.0

import Dispatch
package import MartletCompute
package import Synchronization

/// Another device on a thread of its own: a submission returns before it has run, as a GPU's does.
package final class AsynchronousDevice<Device: ComputeDevice>: ForwardingDevice {
    package let device: Device
    /// Submissions that were begun before the one ahead of them had ended, which no device has to bear.
    package let overlaps = Atomic<Int>(0)
    private let running = Atomic<Int>(0)
    private let queue = DispatchQueue(label: "device")

    package init(_ device: Device) { self.device = device }

    package var runsAsynchronously: Bool { true }

    /// What a submission hands to the device's thread, which alone uses it until the completion.
    private struct Submission: @unchecked Sendable {
        let graphs: [any ExecutionGraph]
        let batch: BatchBuffers
    }

    package func submit(_ graphs: [any ExecutionGraph], batch: BatchBuffers) throws -> Completion {
        if running.wrappingAdd(1, ordering: .relaxed).oldValue > 0 { overlaps.wrappingAdd(1, ordering: .relaxed) }
        let submission = Submission(graphs: graphs, batch: batch)
        let (ended, outcome) = (DispatchSemaphore(value: 0), Outcome())
        queue.async { [self] in
            outcome.set(
                Result {
                    try device.submit(submission.graphs, batch: submission.batch).wait()
                })
            running.wrappingSubtract(1, ordering: .relaxed)
            ended.signal()
        }
        return Completion { () throws(DeviceError) in
            ended.wait()
            try outcome.get()
        }
    }
}

/// How a submission ended.
private final class Outcome: Sendable {
    private let result = Mutex<Result<Void, any Error>?>(nil)

    func set(_ result: Result<Void, any Error>) { self.result.withLock { $0 = result } }

    func get() throws(DeviceError) {
        guard case .failure(let error) = result.withLock({ $0 }) else { return }
        throw error as? DeviceError ?? DeviceError(code: .failed, message: "\(error)")
    }
}
