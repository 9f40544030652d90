// SPDX-License-Identifier: Apache-2.0

import CMartletKernels
import MartletCompute

/// The paged cache: `[block][layer][kvHead][K | V]`, a head's part laid out as `cache_layout.h` draws it.
///
/// A block's layers lie together, so that a sequence touches memory for its own tokens: with layers outermost the first
/// token would touch a huge page in each.
final class CPUKeyValueCache: KeyValueCache {
    let layout: CacheLayout
    let memory: DeviceMemory
    /// Bytes of one head in one block: K and V.
    let headBytes: Int

    init(_ layout: CacheLayout) throws(DeviceError) {
        self.layout = layout
        memory = try DeviceMemory(byteCount: Self.byteCount(of: layout))
        headBytes = Self.headBytes(layout)
    }

    static func byteCount(of layout: CacheLayout) throws(DeviceError) -> Int {
        guard layout.headSize % 8 == 0, (8...Int(MARTLET_MAX_HEAD_SIZE)).contains(layout.headSize) else {
            throw DeviceError(
                code: .unsupported,
                message: "head size \(layout.headSize) is not supported; it must be a multiple of 8 up to 256")
        }
        guard (1...(1 << 16)).contains(layout.blockSize), layout.blockSize % Int(MARTLET_CACHE_GROUP) == 0 else {
            throw DeviceError(
                code: .unsupported, message: "block size \(layout.blockSize) is not a positive multiple of 16")
        }
        var bytes = headBytes(layout)
        for factor in [layout.keyValueHeads, layout.blockCount, layout.layers] {
            let (product, overflow) = bytes.multipliedReportingOverflow(by: factor)
            guard !overflow, product >= 0 else {
                throw DeviceError(code: .outOfMemory, message: "the KV cache is too large")
            }
            bytes = product
        }
        return bytes
    }

    private static func headBytes(_ layout: CacheLayout) -> Int {
        Int(martlet_cache_head_bytes(MartletFormat(layout.format), Int64(layout.headSize), Int64(layout.blockSize)))
    }

    /// Bytes from a block to the next.
    var blockBytes: Int { layout.layers * layout.keyValueHeads * headBytes }

    /// Where a block's part of one layer and head begins.
    func pointer(block: Int = 0, layer: Int, head: Int = 0) -> UnsafeMutablePointer<UInt8> {
        memory.pointer(at: block * blockBytes + (layer * layout.keyValueHeads + head) * headBytes)
    }
}

extension MartletFormat {
    init(_ format: CacheFormat) {
        switch format {
        case .float(let format): self.init(format)
        case .int16: self = .int16
        }
    }

    init(_ format: FloatFormat) {
        self =
            switch format {
            case .bfloat16: .bfloat16
            case .float16: .float16
            case .float32: .float32
            case .float8E4M3: .float8E4M3
            case .float8E5M2: .float8E5M2
            }
    }
}
