// SPDX-License-Identifier: Apache-2.0

import Glibc
import MartletCompute
import Synchronization

/// Zeroed memory on cache lines of its own, in huge pages where the system has them.
///
/// Small pieces share mappings: a model's matrices are often smaller than a huge page, and side by side they fill some.
///
/// Sendable because it only owns the bytes: who may write which, and when, is decided by those who hold it.
final class DeviceMemory: @unchecked Sendable {
    let base: UnsafeMutableRawPointer
    let byteCount: Int
    private let mapping: Mapping

    init(byteCount: Int) throws(DeviceError) {
        guard let (mapping, base) = Self.take(max(byteCount, 0)) else {
            throw DeviceError(code: .outOfMemory, message: "can't allocate \(byteCount) bytes")
        }
        self.mapping = mapping
        self.base = base
        self.byteCount = byteCount
    }

    func pointer<Element>(to type: Element.Type = Element.self, at offset: Int = 0) -> UnsafeMutablePointer<Element> {
        (base + offset).assumingMemoryBound(to: type)
    }

    /// What pieces are being cut from; those who have a piece of it keep it.
    private struct Shared {
        weak var mapping: Mapping?
        var used = 0
    }

    private static let shared = Mutex(Shared())
    private static let sharedBytes = 64 << 20
    /// A piece that isn't smaller has a mapping of its own.
    private static let largeBytes = 16 << 20

    private static func take(_ byteCount: Int) -> (Mapping, UnsafeMutableRawPointer)? {
        // Room for the widest load to run past the last element, and up to the next line.
        let (padded, overflow) = byteCount.addingReportingOverflow(64 + 63)
        guard !overflow else { return nil }
        let bytes = padded / 64 * 64
        guard bytes < largeBytes else { return Mapping(byteCount: bytes).map { ($0, $0.base) } }
        return shared.withLock { shared in
            var mapping = shared.mapping
            if mapping == nil || shared.used + bytes > sharedBytes {
                mapping = Mapping(byteCount: sharedBytes)
                shared = Shared(mapping: mapping)
            }
            defer { shared.used += bytes }
            return mapping.map { ($0, $0.base + shared.used) }
        }
    }
}

/// Memory from the system, touched only as it is used, from the start of a huge page on.
///
/// Sendable because it only owns the bytes.
private final class Mapping: @unchecked Sendable {
    let base: UnsafeMutableRawPointer
    private let start: UnsafeMutableRawPointer
    private let length: Int
    private static let hugePage = 2 << 20

    init?(byteCount: Int) {
        let (length, overflow) = byteCount.addingReportingOverflow(Self.hugePage)
        guard !overflow,
            let start = mmap(nil, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0),
            start != MAP_FAILED
        else { return nil }
        madvise(start, length, MADV_HUGEPAGE)
        self.start = start
        self.length = length
        base = start.alignedUp(toMultipleOf: Self.hugePage)
    }

    deinit { munmap(start, length) }
}
