// SPDX-License-Identifier: Apache-2.0

import MartletCPU
import MartletCompute
import Testing

@Suite struct AlignedMemoryTests {
    /// More than one shared mapping holds, and pieces with a mapping of their own among them.
    @Test func piecesAreZeroAndApart() throws {
        var pieces = [try AlignedMemory(byteCount: 17 << 20)]
        for _ in 0..<14 {
            pieces += try [0, 1, 64, 65, 4096, 100_000, 5 << 20].map { try AlignedMemory(byteCount: $0) }
        }
        for (index, piece) in pieces.enumerated() {
            #expect(UInt(bitPattern: piece.base) % 64 == 0)
            let bytes = UnsafeMutableRawBufferPointer(start: piece.base, count: piece.byteCount)
            #expect(bytes.allSatisfy { $0 == 0 })
            bytes.initializeMemory(as: UInt8.self, repeating: UInt8(index + 1))
            // Loads may run so far past the end.
            #expect(UnsafeRawBufferPointer(start: piece.base + piece.byteCount, count: 64).allSatisfy { $0 == 0 })
        }
        // Those that stay don't notice that others go and new ones come.
        let kept = Array(pieces.enumerated().filter { $0.offset % 2 == 0 })
        let sizes = pieces.map(\.byteCount)
        pieces = []
        pieces = try sizes.map { try AlignedMemory(byteCount: $0) }
        for piece in pieces {
            UnsafeMutableRawBufferPointer(start: piece.base, count: piece.byteCount)
                .initializeMemory(as: UInt8.self, repeating: 0xff)
        }
        for (index, piece) in kept {
            let bytes = UnsafeRawBufferPointer(start: piece.base, count: piece.byteCount)
            #expect(bytes.allSatisfy { $0 == UInt8(index + 1) })
        }
    }

    @Test func whatCannotBeIsRefused() {
        #expect(throws: DeviceError.self) { try AlignedMemory(byteCount: .max) }
        #expect(throws: DeviceError.self) { try AlignedMemory(byteCount: .max - 4096) }
        #expect(throws: DeviceError.self) { try AlignedMemory(byteCount: 1 << 60) }
    }
}
