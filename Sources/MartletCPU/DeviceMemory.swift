// SPDX-License-Identifier: Apache-2.0

import Glibc
import MartletCompute

/// Zeroed, page-aligned memory, with huge pages advised where it is large.
///
/// Sendable because it only owns the bytes: who may write which, and when, is decided by those who hold it.
final class DeviceMemory: @unchecked Sendable {
    let base: UnsafeMutableRawPointer
    let byteCount: Int

    init(byteCount: Int) throws(DeviceError) {
        // Room for the widest load to run past the last element.
        let (padded, overflow) = max(byteCount, 0).addingReportingOverflow(64)
        let mapped =
            overflow
            ? MAP_FAILED : mmap(nil, padded, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
        guard let mapped, mapped != MAP_FAILED else {
            throw DeviceError(code: .outOfMemory, message: "can't allocate \(byteCount) bytes")
        }
        if padded >= 2 << 20 { madvise(mapped, padded, MADV_HUGEPAGE) }
        base = mapped
        self.byteCount = byteCount
    }

    deinit { munmap(base, byteCount + 64) }

    func pointer<Element>(to type: Element.Type = Element.self, at offset: Int = 0) -> UnsafeMutablePointer<Element> {
        (base + offset).assumingMemoryBound(to: type)
    }
}
