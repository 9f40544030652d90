// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// A thread's share of the current phase. No two shares are on one cache line, nor on two neighbouring ones, which come in
/// pairs: a thread that waits at its own share would take another's from the thread that works there.
final class WorkerShare: Sendable {
    /// The chunks of the share that no thread has claimed, of the `phase` counted over the pool's whole life.
    struct Chunks {
        var phase: UInt32
        var next: UInt16
        var end: UInt16

        init(phase: UInt32, chunks: Range<Int>) {
            self.phase = phase
            (next, end) = (UInt16(chunks.lowerBound), UInt16(chunks.upperBound))
        }

        init(bits: UInt64) {
            phase = UInt32(truncatingIfNeeded: bits >> 32)
            (end, next) = (UInt16(truncatingIfNeeded: bits >> 16), UInt16(truncatingIfNeeded: bits))
        }

        var bits: UInt64 { UInt64(phase) << 32 | UInt64(end) << 16 | UInt64(next) }
        var isEmpty: Bool { next >= end }
    }

    private let before = InlineArray<16, UInt64>(repeating: 0)
    /// `Chunks` as bits.
    let chunks = Atomic<UInt64>(0)
    /// Chunks of the whole phase.
    let chunkCount = Atomic<Int>(0)
    private let after = InlineArray<16, UInt64>(repeating: 0)
}

/// An atomic value with no neighbours on its cache lines, which come in pairs: threads that wait for one value would take
/// another from the thread that changes it.
struct IsolatedAtomic<Value: AtomicRepresentable & Sendable>: ~Copyable, Sendable {
    private let before = InlineArray<16, UInt64>(repeating: 0)
    let value: Atomic<Value>
    private let after = InlineArray<16, UInt64>(repeating: 0)

    init(_ value: consuming Value) { self.value = Atomic(value) }
}
