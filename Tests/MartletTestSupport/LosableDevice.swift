// SPDX-License-Identifier: Apache-2.0

package import MartletCompute
import Synchronization

/// Another device, until it is lost: from then on every submission fails, as a GPU's do after an error that sticks.
package final class LosableDevice<Device: ComputeDevice>: ForwardingDevice {
    package let device: Device
    private let submissionsLeft: Atomic<Int>

    /// - Parameter submissions: how many succeed.
    package init(_ device: Device, submissions: Int) {
        self.device = device
        submissionsLeft = Atomic(submissions)
    }

    package func submit(_ graphs: [any ExecutionGraph], batch: BatchBuffers) throws -> Completion {
        guard submissionsLeft.wrappingSubtract(1, ordering: .relaxed).newValue >= 0 else {
            // A device learns of it asynchronously.
            return Completion { () throws(DeviceError) in
                throw DeviceError(code: .lost, message: "it fell off the bus")
            }
        }
        return try device.submit(graphs, batch: batch)
    }
}
