// SPDX-License-Identifier: Apache-2.0

import MartletCompute

/// A vector as f32.
final class VectorWeight: DeviceWeight {
    let count: Int
    let memory: AlignedMemory
    var byteCount: Int { memory.byteCount }

    init(_ values: [Float]) throws(DeviceError) {
        count = values.count
        memory = try AlignedMemory(byteCount: values.count * 4)
        memory.pointer(to: Float.self).update(from: values, count: values.count)
    }
}
