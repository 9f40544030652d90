// SPDX-License-Identifier: Apache-2.0

package import MartletCompute

/// A vector as f32.
package final class VectorWeight: DeviceWeight {
    let count: Int
    package let memory: AlignedMemory
    package var byteCount: Int { memory.byteCount }

    package init(_ values: [Float]) throws(DeviceError) {
        count = values.count
        memory = try AlignedMemory(byteCount: values.count * 4)
        memory.pointer(to: Float.self).update(from: values, count: values.count)
    }
}
