// SPDX-License-Identifier: Apache-2.0

package import MartletCompute

/// Cuts a step's attention into work items, from its lengths alone.
///
/// Every sequence is cut into tiles of query rows, and a tile sees a run of segments of its keys. An item is one tile
/// with all its segments, or with a part of them where one item would keep a worker busy long after the others.
/// Where the cuts fall changes no bit of the result, so they may depend on the whole batch.
package struct AttentionPlanner: Sendable {
    package let geometry: AttentionGeometry
    package let group: AttentionGroup
    /// Which of the batch's plans it makes.
    package let number: Int
    /// Whether decodes get a launch of their own, and whether keys are dealt out at all.
    package let splits: Bool
    /// The most query tokens of a decode: 1, or 1 + k where k tokens are speculated.
    package let decodeThreshold: Int

    package init(
        geometry: AttentionGeometry, group: AttentionGroup, number: Int = 0, splits: Bool = true,
        decodeThreshold: Int = 1
    ) {
        precondition(decodeThreshold > 0)
        self.geometry = geometry
        self.group = group
        self.number = number
        self.splits = splits
        self.decodeThreshold = decodeThreshold
    }

    private var heads: AttentionHeads { group.heads }

    /// Plans the batch as it stands, into its own plan buffers. Sequences may stand in any order.
    ///
    /// - Complexity: O(n log n) in the items; allocates nothing.
    package func plan(_ batch: BatchBuffers) {
        let plan = plan(of: batch)
        plan.pointee.prefillCount = 0
        plan.pointee.decodeCount = 0
        plan.pointee.mergeCount = 0
        plan.pointee.partialCount = 0
        var total = 0
        forEachTile(of: batch) { total += $0.work(on: $0.keys) * heads.keyValueHeads }
        let share = total / (geometry.parallelism * geometry.itemsPerWorker)
        forEachTile(of: batch) { append($0, pieces: pieces(of: $0, share: share), to: plan) }
        let rows = batch.tokenCount
        // Beside decodes a worker that is free takes the longest item of all.
        let affinity = plan.pointee.decodeCount == 0 ? geometry.affinity : nil
        Self.sort(plan.pointee.prefills, plan.pointee.prefillCount) {
            affinity?.worker(ofRow: Int($0.firstRow), rows: rows) ?? 0
        }
        Self.sort(plan.pointee.decodes, plan.pointee.decodeCount) { _ in 0 }
    }

    private func plan(of batch: BatchBuffers) -> UnsafeMutablePointer<AttentionPlan> {
        guard let plans = batch.plans.baseAddress, batch.plans.indices.contains(number) else {
            preconditionFailure("the batch has no plan \(number)")
        }
        return plans + number
    }

    /// Query rows of one sequence that are computed together, and the segments they see.
    private struct Tile {
        var sequence: Int
        var rows: Range<Int>
        var isDecode: Bool
        var segments: Range<Int>
        /// All between the first and the last that some row sees.
        var keys: Range<Int>

        /// Rows times those of some keys that lie there.
        func work(on some: Range<Int>) -> Int { rows.count * max(keys.clamped(to: some).count, 1) }
    }

    private func forEachTile(of batch: BatchBuffers, _ body: (Tile) -> Void) {
        for sequence in 0..<batch.sequenceCount {
            let rows = batch.rows(of: sequence)
            let isDecode = splits && rows.count <= decodeThreshold
            let length = isDecode ? rows.count : geometry.tokensPerTile
            let first = batch.contextLength(of: sequence) - rows.lowerBound
            for row in stride(from: rows.lowerBound, to: rows.upperBound, by: max(length, 1)) {
                let rows = row..<min(row + length, rows.upperBound)
                let keys = visibleKeys(of: first + rows.lowerBound...first + rows.upperBound - 1, sequence, batch)
                let firstSegment = keys.lowerBound / geometry.segmentLength
                // At least one: rows that see nothing still have an output.
                let end = max((keys.upperBound + geometry.segmentLength - 1) / geometry.segmentLength, firstSegment + 1)
                body(
                    Tile(
                        sequence: sequence, rows: rows, isDecode: isDecode, segments: firstSegment..<end, keys: keys))
            }
        }
    }

    /// All between the first and the last key that some row sees.
    private func visibleKeys(of positions: ClosedRange<Int>, _ sequence: Int, _ batch: BatchBuffers) -> Range<Int> {
        let length = Int(batch.sequenceLengths[sequence])
        var keys = group.visibility.visibleRange(of: positions, length: length)
        for index in 0..<batch.capacity.prefixRanges {
            let range = batch.prefixRanges[sequence * batch.capacity.prefixRanges + index]
            guard range.first < range.last, positions.overlaps(Int(range.first)...Int(range.last)) else { continue }
            keys = min(keys.lowerBound, Int(range.first))..<max(keys.upperBound, min(Int(range.last) + 1, length))
        }
        return keys
    }

    /// How many items a tile becomes.
    private func pieces(of tile: Tile, share: Int) -> Int {
        guard splits, geometry.parallelism > 1, share > 0 else { return 1 }
        return min(tile.segments.count, (work(of: tile, on: tile.keys) + share - 1) / share)
    }

    /// The work of one item: a decode's has all KV heads, a prefill's is run once for each.
    private func work(of tile: Tile, on keys: Range<Int>) -> Int {
        tile.work(on: keys) * (tile.isDecode ? heads.keyValueHeads : 1)
    }

    private func append(_ tile: Tile, pieces: Int, to plan: UnsafeMutablePointer<AttentionPlan>) {
        let segments = tile.segments
        let partials = tile.rows.count * segments.count
        let isCut = pieces > 1 && partials <= plan.pointee.partialCapacity - plan.pointee.partialCount
        let count = isCut ? pieces : 1
        for piece in 0..<count {
            let begin = segments.lowerBound + segments.count * piece / count
            let end = segments.lowerBound + segments.count * (piece + 1) / count
            let partial = isCut ? plan.pointee.partialCount + begin - segments.lowerBound : -1
            let item = AttentionItem(
                sequence: Int32(tile.sequence), firstRow: Int32(tile.rows.lowerBound),
                rowCount: Int32(tile.rows.count), firstSegment: Int32(begin), segmentCount: Int32(end - begin),
                firstPartial: Int32(partial), partialStride: Int32(isCut ? segments.count : 0),
                work: work(of: tile, on: begin * geometry.segmentLength..<end * geometry.segmentLength))
            if tile.isDecode {
                plan.pointee.decodes[plan.pointee.decodeCount] = item
                plan.pointee.decodeCount += 1
            } else {
                plan.pointee.prefills[plan.pointee.prefillCount] = item
                plan.pointee.prefillCount += 1
            }
        }
        guard isCut else { return }
        for row in tile.rows {
            plan.pointee.merges[plan.pointee.mergeCount] = AttentionMerge(
                row: Int32(row), firstPartial: Int32(plan.pointee.partialCount), partialCount: Int32(segments.count))
            plan.pointee.mergeCount += 1
            plan.pointee.partialCount += segments.count
        }
    }

    /// Longest first among those of a worker: what is claimed last is short, so no worker is left alone with a long
    /// item.
    ///
    /// A heap sort, because the standard library's allocates.
    private static func sort(
        _ items: UnsafeMutableBufferPointer<AttentionItem>, _ count: Int, worker: (AttentionItem) -> Int
    ) {
        func comesFirst(_ first: AttentionItem, _ second: AttentionItem) -> Bool {
            (worker(first), second.work, first.firstRow, first.firstSegment)
                < (worker(second), first.work, second.firstRow, second.firstSegment)
        }
        /// Sinks an item below those that come later, in a heap whose top is the last.
        func sink(_ start: Int, _ end: Int) {
            var parent = start
            while 2 * parent + 1 < end {
                var child = 2 * parent + 1
                if child + 1 < end, comesFirst(items[child], items[child + 1]) { child += 1 }
                guard comesFirst(items[parent], items[child]) else { return }
                items.swapAt(parent, child)
                parent = child
            }
        }
        for start in stride(from: count / 2 - 1, through: 0, by: -1) { sink(start, count) }
        for end in stride(from: count - 1, to: 0, by: -1) {
            items.swapAt(0, end)
            sink(0, end)
        }
    }
}
