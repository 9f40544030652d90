// SPDX-License-Identifier: Apache-2.0

import Glibc

/// Pre-faults a range of bytes, one huge page per chunk; on NUMA machines pages land on the faulting thread's node. The
/// bytes keep their values. Where the system can't, pages are faulted when they are first written to.
///
/// Sendable because it touches no byte of the range itself.
final class MemoryPopulation: PhasedJob {
    private let memory: AlignedMemory
    private let bytes: Range<Int>
    private let pages: Range<Int>

    init(of memory: AlignedMemory, bytes: Range<Int>) {
        self.memory = memory
        self.bytes = bytes.clamped(to: 0..<memory.byteCount)
        let size = AlignedMemory.hugePage
        pages = self.bytes.lowerBound / size..<(self.bytes.upperBound + size - 1) / size
    }

    var phaseCount: Int { 1 }

    func chunkCount(phase: Int) -> Int { bytes.isEmpty ? 0 : min(pages.count, WorkerPool.maximumChunks) }

    func run(phase: Int, chunk: Int, of chunkCount: Int, worker: Int) {
        let part = slice(of: pages.count, chunk: chunk, count: chunkCount)
        let (first, last) = (pages.lowerBound + part.lowerBound, pages.lowerBound + part.upperBound)
        memory.populate((first * AlignedMemory.hugePage..<last * AlignedMemory.hugePage).clamped(to: bytes))
    }
}
