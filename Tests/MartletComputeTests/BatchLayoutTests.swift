// SPDX-License-Identifier: Apache-2.0

import MartletCompute
import MartletTestSupport
import Testing

@Suite struct BatchLayoutTests {
    private static func range<Element>(_ field: BatchLayout.Field<Element>) -> Range<Int> {
        field.offset..<field.offset + field.count * MemoryLayout<Element>.stride
    }

    /// Fields follow each other on cache lines, in three regions, whatever the capacity.
    @Test func fieldsDontOverlap() {
        var random = SeededGenerator(1)
        for _ in 0..<200 {
            func size(_ most: Int) -> Int { Int.random(in: 0...most, using: &random) }
            let layout = BatchLayout(
                BatchCapacity(
                    tokens: 1 + size(99), sequences: 1 + size(9), blocksPerSequence: 1 + size(50),
                    logitRows: 1 + size(9),
                    partials: size(90), prefixRanges: size(2), queryQueryBias: size(9), topLogprobs: size(5),
                    logitEdits: LogitEdits.Capacity(biases: size(9), counts: size(99), vocabularySize: size(999)),
                    attentionPlans: 1 + size(2)))
            let step =
                [
                    Self.range(layout.counts), Self.range(layout.tokenIDs), Self.range(layout.positions),
                    Self.range(layout.slotMapping), Self.range(layout.queryStartLocations),
                    Self.range(layout.sequenceLengths), Self.range(layout.tableRows), Self.range(layout.prefixRanges),
                    Self.range(layout.queryQueryBias), Self.range(layout.logitRows), Self.range(layout.sampling),
                ]
                + layout.plans.flatMap { plan in
                    [
                        Self.range(plan.counts), Self.range(plan.prefills), Self.range(plan.decodes),
                        Self.range(plan.merges),
                    ]
                }
            let sequences = [
                Self.range(layout.blockTables), Self.range(layout.logitEditExtents), Self.range(layout.biases),
                Self.range(layout.tokenCounts), Self.range(layout.masks),
            ]
            let results = [Self.range(layout.samples), Self.range(layout.topLogprobs)]
            for (fields, region) in [(step, layout.step), (sequences, layout.sequences), (results, layout.results)] {
                #expect(fields.allSatisfy { region.lowerBound <= $0.lowerBound && $0.upperBound <= region.upperBound })
                #expect(fields.allSatisfy { $0.lowerBound % 64 == 0 })
                #expect(zip(fields, fields.dropFirst()).allSatisfy { $0.upperBound <= $1.lowerBound })
            }
            #expect(layout.byteCount == layout.results.upperBound)
        }
    }

    /// What is written to one field is in no other, and counts are in the memory too.
    @Test func countsAreInTheMemory() {
        let batch = BatchBuffers(
            capacity: BatchCapacity(tokens: 4, sequences: 2, blocksPerSequence: 3, logitRows: 2, attentionPlans: 2))
        (batch.tokenCount, batch.sequenceCount, batch.logitRowCount) = (3, 2, 1)
        batch.plans[1].decodeCount = 7
        let bytes = batch.memory.bytes
        let counts = bytes.load(fromByteOffset: batch.layout.counts.offset, as: BatchCounts.self)
        #expect(counts.tokens == 3 && counts.sequences == 2 && counts.logitRows == 1)
        let plans = batch.layout.plans.map {
            bytes.load(fromByteOffset: $0.counts.offset, as: AttentionPlanCounts.self).decodes
        }
        #expect(plans == [0, 7])
        #expect(Array(batch.tableRows) == [0, 1] && Array(batch.slotMapping) == [-1, -1, -1, -1])
    }
}
