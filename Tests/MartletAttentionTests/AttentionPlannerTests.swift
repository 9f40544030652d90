// SPDX-License-Identifier: Apache-2.0

import MartletAttention
import MartletCompute
import MartletTestSupport
import Testing

/// What a plan does to each row, taken from its items and merges.
private struct Coverage {
    /// Segments by row, and where each leaves its partial; nil where the row has a single item that writes it.
    var segments: [[Int: Int?]]
    var writes: [Int]
    var problem: String?

    init(_ batch: BatchBuffers, _ affinity: (any RowAffinity)?) {
        segments = Array(repeating: [:], count: batch.tokenCount)
        writes = Array(repeating: 0, count: batch.tokenCount)
        let plan = batch.plans[0]
        for (launch, count, affinity) in [
            (plan.prefills, plan.prefillCount, plan.decodeCount == 0 ? affinity : nil),
            (plan.decodes, plan.decodeCount, nil),
        ] {
            var previous = (worker: 0, work: Int.max)
            for item in launch.prefix(count) {
                let worker = affinity?.worker(ofRow: Int(item.firstRow), rows: batch.tokenCount) ?? 0
                if worker < previous.worker { problem = "workers' items don't stand together" }
                if worker == previous.worker, item.work > previous.work {
                    problem = "a longer item after a shorter one"
                }
                previous = (worker, item.work)
                add(item, batch)
            }
        }
        var partials = Set<Int>()
        for merge in plan.merges.prefix(plan.mergeCount) {
            let row = Int(merge.row)
            writes[row] += 1
            let written = segments[row].sorted { $0.key < $1.key }.map(\.value)
            if written != (0..<Int(merge.partialCount)).map({ Int(merge.firstPartial) + $0 }) {
                problem = "row \(row) merges other partials than its items leave"
            }
            for case let partial? in written where !partials.insert(partial).inserted {
                problem = "a partial is shared"
            }
        }
        if partials.contains(where: { $0 < 0 || $0 >= plan.partialCapacity }) { problem = "a partial has no room" }
        if plan.prefillCount > plan.prefills.count || plan.decodeCount > plan.decodes.count
            || plan.mergeCount > plan.merges.count || plan.partialCount > plan.partialCapacity
        {
            problem = "a buffer overflowed"
        }
        if writes.contains(where: { $0 != 1 }) { problem = "an output is not written exactly once" }
    }

    private mutating func add(_ item: AttentionItem, _ batch: BatchBuffers) {
        if !batch.rows(of: Int(item.sequence)).contains(Int(item.firstRow)) { problem = "an item of another sequence" }
        for row in Int(item.firstRow)..<Int(item.firstRow + item.rowCount) {
            if item.firstPartial < 0 { writes[row] += 1 }
            for index in 0..<Int(item.segmentCount) {
                let partial =
                    item.firstPartial < 0
                    ? nil
                    : Int(item.firstPartial) + (row - Int(item.firstRow)) * Int(item.partialStride) + index
                if segments[row].updateValue(partial, forKey: Int(item.firstSegment) + index) != nil {
                    problem = "a segment is computed twice"
                }
            }
        }
    }
}

@Suite struct AttentionPlannerTests {
    private static let scopes: [AttentionVisibility.Scope] = [
        .all, .all, .window(1), .window(17), .window(64), .window(200), .chunks(length: 16, lookback: 1),
        .chunks(length: 100, lookback: 0),
    ]

    /// Random batches in any order, any capacity: every row is written once, every key that it sees lies in exactly
    /// one segment of its items, and no buffer overflows.
    @Test(arguments: 0..<8) func coversEveryVisibleKeyOnce(_ part: Int) {
        var random = SeededGenerator(UInt64(part))
        for _ in 0..<25 {
            let capacity = BatchCapacity(
                tokens: Int.random(in: 1...48, using: &random), sequences: Int.random(in: 1...12, using: &random),
                blocksPerSequence: 1, logitRows: 1,
                partials: Bool.random(using: &random) ? Int.random(in: 0...8, using: &random) : 500,
                prefixRanges: Int.random(in: 0...1, using: &random))
            let batch = BatchBuffers(capacity: capacity)
            for _ in 0..<640 {
                fill(batch, &random)
                let group = Int.random(in: 1...4, using: &random)
                let planner = AttentionPlanner(
                    geometry: AttentionGeometry(
                        segmentLength: 64 << Int.random(in: 0...2, using: &random),
                        tokensPerTile: Int.random(in: 1...16, using: &random),
                        parallelism: Int.random(in: 1...4, using: &random)),
                    group: AttentionGroup(
                        heads: AttentionHeads(queryHeads: 2 * group, keyValueHeads: 2, headSize: 64),
                        visibility: AttentionVisibility(
                            isCausal: Int.random(in: 0..<8, using: &random) > 0,
                            scope: Self.scopes.randomElement(using: &random) ?? .all)),
                    splits: Bool.random(using: &random), decodeThreshold: Int.random(in: 1...5, using: &random))
                planner.plan(batch)
                check(planner, batch)
            }
        }
    }

    private func fill(_ batch: BatchBuffers, _ random: inout SeededGenerator) {
        var row = 0
        batch.sequenceCount = Int.random(in: 0...batch.capacity.sequences, using: &random)
        for sequence in 0..<batch.sequenceCount {
            let room = batch.capacity.tokens - row
            let length = min(room, Bool.random(using: &random) ? 1 : Int.random(in: 0...20, using: &random))
            let context = Bool.random(using: &random) ? 0 : Int.random(in: 0...700, using: &random)
            batch.queryStartLocations[sequence] = Int32(row)
            batch.sequenceLengths[sequence] = Int32(context + length)
            row += length
            if batch.capacity.prefixRanges > 0 {
                let first = Int32.random(in: 0...Int32(context + length), using: &random)
                batch.prefixRanges[sequence] = PrefixRange(first: first, last: first + 9)
            }
        }
        batch.queryStartLocations[batch.sequenceCount] = Int32(row)
        batch.tokenCount = row
    }

    private func check(_ planner: AttentionPlanner, _ batch: BatchBuffers) {
        let coverage = Coverage(batch, planner.geometry.affinity)
        if let problem = coverage.problem { Issue.record("\(problem): \(planner)") }
        let segmentLength = planner.geometry.segmentLength
        for sequence in 0..<batch.sequenceCount {
            let (rows, context) = (batch.rows(of: sequence), batch.contextLength(of: sequence))
            for row in rows {
                let query = context + row - rows.lowerBound
                // Segments that the row has must not be looked through: they hold what they hold.
                var key = 0
                while key < Int(batch.sequenceLengths[sequence]) {
                    if coverage.segments[row][key / segmentLength] != nil {
                        key = (key / segmentLength + 1) * segmentLength
                        continue
                    }
                    if sees(query, key, sequence, planner, batch) {
                        Issue.record("row \(row) misses key \(key): \(planner)")
                        return
                    }
                    key += 1
                }
            }
        }
    }

    private func sees(
        _ query: Int, _ key: Int, _ sequence: Int, _ planner: AttentionPlanner, _ batch: BatchBuffers
    ) -> Bool {
        if planner.group.visibility.sees(query: query, key: key) { return true }
        guard batch.capacity.prefixRanges > 0 else { return false }
        let range = Int(batch.prefixRanges[sequence].first)...Int(batch.prefixRanges[sequence].last)
        return range.contains(query) && range.contains(key)
    }

    /// 32 decodes beside a prefill of 64 tokens, four heads to a KV head: a grid that counts the prefill's blocks
    /// from the batch's first token misses the last ones.
    @Test func computesAllOfAPrefillAfterManyDecodes() {
        let batch = BatchBuffers(
            capacity: BatchCapacity(tokens: 96, sequences: 33, blocksPerSequence: 1, logitRows: 1))
        for sequence in 0...33 { batch.queryStartLocations[sequence] = Int32(sequence) }
        for sequence in 0..<32 { batch.sequenceLengths[sequence] = Int32(3 + sequence) }
        batch.queryStartLocations[33] = 96
        batch.sequenceLengths[32] = 64
        batch.sequenceCount = 33
        batch.tokenCount = 96
        let planner = AttentionPlanner(
            geometry: AttentionGeometry(segmentLength: 512, tokensPerTile: 12, parallelism: 2),
            group: AttentionGroup(heads: AttentionHeads(queryHeads: 4, keyValueHeads: 1, headSize: 64)))
        planner.plan(batch)
        check(planner, batch)
        #expect(batch.plans[0].decodeCount == 32)
        #expect(batch.plans[0].prefills.prefix(batch.plans[0].prefillCount).reduce(0) { $0 + $1.rowCount } == 64)
    }

    /// A long context is dealt out: a decode's, and that of a few tokens that extend it.
    @Test(arguments: [1, 20]) func dealsOutALongContext(_ queryLength: Int) {
        let batch = BatchBuffers(
            capacity: BatchCapacity(tokens: 32, sequences: 1, blocksPerSequence: 1, logitRows: 1))
        batch.queryStartLocations[1] = Int32(queryLength)
        batch.sequenceLengths[0] = 65_536
        batch.sequenceCount = 1
        batch.tokenCount = queryLength
        for parallelism in [2, 16] {
            let planner = AttentionPlanner(
                geometry: AttentionGeometry(segmentLength: 512, tokensPerTile: 16, parallelism: parallelism),
                group: AttentionGroup(heads: AttentionHeads(queryHeads: 3, keyValueHeads: 1, headSize: 64)))
            planner.plan(batch)
            check(planner, batch)
            #expect(batch.plans[0].prefillCount + batch.plans[0].decodeCount >= 4 * parallelism)
        }
    }

    /// Four bands of rows, which two workers have back and forth.
    private struct FourBands: RowAffinity {
        func worker(ofRow row: Int, rows: Int) -> Int { [0, 1, 1, 0][row * 4 / rows] }
    }

    /// Where rows are divided among workers their prefills stand together, each worker's longest first, and come to as
    /// much.
    @Test func prefillsOfAWorkerStandTogether() {
        let batch = BatchBuffers(
            capacity: BatchCapacity(tokens: 512, sequences: 1, blocksPerSequence: 1, logitRows: 1))
        batch.queryStartLocations[1] = 512
        batch.sequenceLengths[0] = 512
        batch.sequenceCount = 1
        batch.tokenCount = 512
        let planner = AttentionPlanner(
            geometry: AttentionGeometry(segmentLength: 512, tokensPerTile: 16, parallelism: 2, affinity: FourBands()),
            group: AttentionGroup(heads: AttentionHeads(queryHeads: 3, keyValueHeads: 1, headSize: 64)))
        planner.plan(batch)
        check(planner, batch)
        let items = batch.plans[0].prefills.prefix(batch.plans[0].prefillCount)
        let workers = items.map { FourBands().worker(ofRow: Int($0.firstRow), rows: 512) }
        #expect(workers == Array(repeating: 0, count: 16) + Array(repeating: 1, count: 16))
        for part in [items.prefix(16), items.suffix(16)] {
            #expect(zip(part, part.dropFirst()).allSatisfy { $0.work >= $1.work })
            #expect(part.reduce(0) { $0 + Int($1.work) } == items.reduce(0) { $0 + Int($1.work) } / 2)
        }
    }

    @Test func visibleRangeIsTheHullOfWhatIsSeen() {
        for scope in Self.scopes {
            for isCausal in [true, false] {
                let visibility = AttentionVisibility(isCausal: isCausal, scope: scope)
                for length in [1, 16, 17, 130, 300] {
                    for first in stride(from: 0, to: length, by: 7) {
                        let positions = first...min(first + 5, length - 1)
                        let seen = (0..<length).filter { key in
                            positions.contains { visibility.sees(query: $0, key: key) }
                        }
                        let range = visibility.visibleRange(of: positions, length: length)
                        #expect(range.lowerBound == seen.first && range.upperBound - 1 == seen.last)
                    }
                }
            }
        }
    }

    @Test func autoSplitsInFullGraphs() {
        #expect(AttentionLaunch.auto.splits(isFullGraph: true))
        #expect(!AttentionLaunch.auto.splits(isFullGraph: false))
        #expect(AttentionLaunch.split.splits(isFullGraph: false))
        #expect(!AttentionLaunch.unified.splits(isFullGraph: true))
    }
}
