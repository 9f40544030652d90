// SPDX-License-Identifier: Apache-2.0

import Glibc
package import MartletCompute

/// Zeroed memory on cache lines of its own, in huge pages where the system has them.
///
/// Pieces of some KB or MB share mappings: a model's matrices are often smaller than a huge page, and side by side they
/// fill some.
///
/// Sendable because it only owns the bytes: who may write which, and when, is decided by those who hold it.
package final class AlignedMemory: @unchecked Sendable {
    package let base: UnsafeMutableRawPointer
    package let byteCount: Int
    private let mapping: Mapping

    package init(byteCount: Int) throws(DeviceError) {
        guard let (mapping, base) = Self.take(max(byteCount, 0)) else {
            throw DeviceError(code: .outOfMemory, message: "can't allocate \(byteCount) bytes")
        }
        self.mapping = mapping
        self.base = base
        self.byteCount = byteCount
    }

    package func pointer<Element>(
        to type: Element.Type = Element.self, at offset: Int = 0
    ) -> UnsafeMutablePointer<Element> {
        (base + offset).assumingMemoryBound(to: type)
    }

    /// Has the system find memory behind some bytes, and whatever shares a page with them, if it can.
    func populate(_ bytes: Range<Int>) {
        let start = (base + bytes.lowerBound).alignedDown(toMultipleOf: Self.page)
        madvise(start, start.distance(to: base + bytes.upperBound), Self.populateWrite)
    }

    static let hugePage = 2 << 20
    fileprivate static let page = Int(sysconf(Int32(_SC_PAGESIZE)))
    /// `MADV_POPULATE_WRITE`, which the C library's headers may be too old for.
    private static let populateWrite: CInt = 23

    /// What pieces are being cut from; those who have a piece of it keep it.
    private struct Shared {
        weak var mapping: Mapping?
        var used = 0
    }

    private static let shared = Lock(Shared())
    /// So many pieces of a small model that what the last one leaves unused doesn't count.
    private static let sharedBytes = 64 << 20
    /// Smaller pieces gain nothing from huge pages, and some come and go with each step; larger ones fill such pages alone.
    private static let sizesShared = 16 << 10..<16 << 20

    private static func take(_ byteCount: Int) -> (Mapping, UnsafeMutableRawPointer)? {
        // Room for the widest load to run past the last element, and up to the next line.
        let (padded, overflow) = byteCount.addingReportingOverflow(64 + 63)
        guard !overflow else { return nil }
        let bytes = padded / 64 * 64
        guard sizesShared.contains(bytes) else { return Mapping(byteCount: bytes).map { ($0, $0.base) } }
        return shared.withLock { shared in
            if let mapping = shared.mapping, shared.used + bytes <= sharedBytes {
                defer { shared.used += bytes }
                return (mapping, mapping.base + shared.used)
            }
            guard let mapping = Mapping(byteCount: sharedBytes) else { return nil }
            shared = Shared(mapping: mapping, used: bytes)
            return (mapping, mapping.base)
        }
    }
}

/// Memory from the system, touched only as it is used; from the start of a huge page on if it holds one. It ends with the
/// page of its last byte: a huge page there would leave half of one unused behind each large matrix.
///
/// Sendable because it only owns the bytes.
private final class Mapping: @unchecked Sendable {
    let base: UnsafeMutableRawPointer
    private let length: Int

    init?(byteCount: Int) {
        let (hugePage, page) = (AlignedMemory.hugePage, AlignedMemory.page)
        let isHuge = byteCount >= hugePage
        let (whole, overflow) = byteCount.addingReportingOverflow(page - 1)
        let length = whole / page * page
        let (room, roomOverflow) = length.addingReportingOverflow(isHuge ? hugePage - page : 0)
        guard !overflow, !roomOverflow,
            let start = mmap(nil, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0),
            start != MAP_FAILED
        else { return nil }
        base = isHuge ? start.alignedUp(toMultipleOf: hugePage) : start
        self.length = length
        let before = start.distance(to: base)
        if before > 0 { munmap(start, before) }
        if room > before + length { munmap(base + length, room - before - length) }
        if isHuge { madvise(base, length, MADV_HUGEPAGE) }
    }

    deinit { munmap(base, length) }
}
