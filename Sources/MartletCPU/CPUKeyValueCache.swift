// SPDX-License-Identifier: Apache-2.0

import CMartletKernels
import MartletCompute

/// The paged cache in bf16: `[layer][block][kvHead][K | V]`, a head's part laid out as `attention.inc` draws it.
final class CPUKeyValueCache: KeyValueCache {
    let layout: CacheLayout
    let memory: DeviceMemory

    init(_ layout: CacheLayout) throws(DeviceError) {
        self.layout = layout
        memory = try DeviceMemory(byteCount: Self.byteCount(of: layout))
    }

    static func byteCount(of layout: CacheLayout) throws(DeviceError) -> Int {
        guard layout.headSize % 16 == 0, (16...256).contains(layout.headSize) else {
            throw DeviceError(
                code: .unsupported,
                message: "head size \(layout.headSize) is not supported; it must be a multiple of 16 up to 256")
        }
        guard layout.blockSize > 0, layout.blockSize % Int(MARTLET_CACHE_GROUP) == 0 else {
            throw DeviceError(
                code: .unsupported, message: "block size \(layout.blockSize) is not a positive multiple of 16")
        }
        var bytes = 2
        for factor in [2, layout.headSize, layout.blockSize, layout.keyValueHeads, layout.blockCount, layout.layers] {
            let (product, overflow) = bytes.multipliedReportingOverflow(by: factor)
            guard !overflow else { throw DeviceError(code: .outOfMemory, message: "the KV cache is too large") }
            bytes = product
        }
        return bytes
    }

    /// bf16 values of one head in one block: K and V.
    var headElements: Int { 2 * layout.blockSize * layout.headSize }

    func pointer(layer: Int) -> UnsafeMutablePointer<UInt16> {
        memory.pointer(to: UInt16.self) + layer * layout.blockCount * layout.keyValueHeads * headElements
    }
}
