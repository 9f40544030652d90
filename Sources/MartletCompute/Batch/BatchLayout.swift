// SPDX-License-Identifier: Apache-2.0

import Glibc

/// Where each field of a batch lies in its memory, by bytes: one arena, so that a device with memory of its own takes a
/// step over with one copy of each region that changed.
package struct BatchLayout: Sendable {
    /// An array in the arena.
    package struct Field<Element>: Sendable {
        package let offset: Int
        package let count: Int
    }

    /// The fields of one plan of attention.
    package struct PlanFields: Sendable {
        package let counts: Field<AttentionPlanCounts>
        package let prefills: Field<AttentionItem>
        package let decodes: Field<AttentionItem>
        package let merges: Field<AttentionMerge>
    }

    // Written anew for each step.
    package let counts: Field<BatchCounts>
    package let tokenIDs: Field<Int32>
    package let positions: Field<Int32>
    package let slotMapping: Field<Int64>
    package let queryStartLocations: Field<Int32>
    package let sequenceLengths: Field<Int32>
    package let tableRows: Field<Int32>
    package let prefixRanges: Field<PrefixRange>
    package let queryQueryBias: Field<Float>
    package let logitRows: Field<Int32>
    package let sampling: Field<SamplingRow>
    package let plans: [PlanFields]
    // A row for each sequence, which stays its own from step to step.
    package let blockTables: Field<Int32>
    package let logitEditExtents: Field<LogitEdits.Extent>
    package let biases: Field<TokenBias>
    package let tokenCounts: Field<TokenCount>
    package let masks: Field<UInt64>
    // Written by the device.
    package let samples: Field<SampledToken>
    package let topLogprobs: Field<TokenLogprob>

    /// Bytes that every step writes.
    package let step: Range<Int>
    /// Bytes of which a step writes the rows of sequences that changed.
    package let sequences: Range<Int>
    /// Bytes that a device writes.
    package let results: Range<Int>

    package var byteCount: Int { results.upperBound }

    /// Fields begin on cache lines.
    private static let alignment = 64

    package init(_ capacity: BatchCapacity) {
        var end = 0
        func field<Element>(_ type: Element.Type, _ count: Int) -> Field<Element> {
            let offset = end
            end = (offset + count * MemoryLayout<Element>.stride + Self.alignment - 1) / Self.alignment * Self.alignment
            return Field(offset: offset, count: count)
        }
        counts = field(BatchCounts.self, 1)
        tokenIDs = field(Int32.self, capacity.tokens)
        positions = field(Int32.self, capacity.tokens)
        slotMapping = field(Int64.self, capacity.cacheGroups * capacity.tokens)
        queryStartLocations = field(Int32.self, capacity.sequences + 1)
        sequenceLengths = field(Int32.self, capacity.sequences)
        tableRows = field(Int32.self, capacity.sequences)
        prefixRanges = field(PrefixRange.self, capacity.sequences * capacity.prefixRanges)
        queryQueryBias = field(Float.self, capacity.queryQueryBias * capacity.queryQueryBias)
        logitRows = field(Int32.self, capacity.logitRows)
        sampling = field(SamplingRow.self, capacity.logitRows)
        plans = (0..<capacity.attentionPlans).map { _ in
            // No batch of the capacity overflows these: a tile has at least one row, and cutting it leaves a partial for each
            // piece.
            PlanFields(
                counts: field(AttentionPlanCounts.self, 1),
                prefills: field(AttentionItem.self, capacity.tokens + capacity.partials),
                decodes: field(AttentionItem.self, capacity.sequences + capacity.partials),
                merges: field(AttentionMerge.self, min(capacity.tokens, capacity.partials)))
        }
        step = 0..<end
        blockTables = field(
            Int32.self, capacity.cacheGroups * capacity.sequences * capacity.blocksPerSequence)
        logitEditExtents = field(LogitEdits.Extent.self, capacity.sequences)
        biases = field(TokenBias.self, capacity.sequences * capacity.logitEdits.biases)
        tokenCounts = field(TokenCount.self, capacity.sequences * capacity.logitEdits.counts)
        masks = field(UInt64.self, capacity.sequences * capacity.logitEdits.maskWords)
        sequences = step.upperBound..<end
        samples = field(SampledToken.self, capacity.logitRows)
        topLogprobs = field(TokenLogprob.self, capacity.logitRows * capacity.topLogprobs)
        results = sequences.upperBound..<end
    }
}

/// A batch's memory as a device makes it: plain, or such that the device copies from it without help.
package protocol BatchMemory: AnyObject {
    /// Zero at first, and aligned to 64 bytes.
    var bytes: UnsafeMutableRawBufferPointer { get }
}

/// Memory of the host that is there as it is written to.
package final class HostBatchMemory: BatchMemory {
    package let bytes: UnsafeMutableRawBufferPointer

    package init(byteCount: Int) throws(DeviceError) {
        let address = mmap(
            nil, max(byteCount, 1), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | Int32(MAP_NORESERVE), -1, 0)
        guard let address, address != MAP_FAILED else {
            throw DeviceError(
                code: .outOfMemory, message: "the buffers of a step take \(byteCount) bytes, which are not there")
        }
        bytes = UnsafeMutableRawBufferPointer(start: address, count: byteCount)
    }

    deinit { munmap(bytes.baseAddress, max(bytes.count, 1)) }
}

extension BatchMemory {
    /// An array of the arena. Its elements are plain numbers, for which zero bytes are values.
    func pointer<Element: BitwiseCopyable>(to field: BatchLayout.Field<Element>) -> UnsafeMutableBufferPointer<Element>
    {
        guard field.count > 0, let base = bytes.baseAddress else {
            return UnsafeMutableBufferPointer(start: nil, count: 0)
        }
        return UnsafeMutableBufferPointer(
            start: (base + field.offset).bindMemory(to: Element.self, capacity: field.count), count: field.count)
    }
}
