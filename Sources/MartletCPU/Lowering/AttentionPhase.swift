// SPDX-License-Identifier: Apache-2.0

import CMartletKernels
import MartletCompute

/// Attention's output and, where the next kernel is a linear layer that reads it, its copy for that.
struct AttentionOutput {
    let rows: TensorRows
    let copy: EncodeRows?
    let headSize: Int

    /// Called by whoever has written some rows' query heads.
    func encode(rows: Range<Int>, heads: Range<Int>) {
        copy?.run(rows: rows, columns: heads.lowerBound * headSize..<heads.upperBound * headSize)
    }

    /// The name of a phase that does something and then encodes.
    func name(_ name: String) -> String { name + (copy.map { " + \($0.name)" } ?? "") }
}

/// The prefill and the decode launch. No barrier stands between them: their rows are disjoint, and whoever is done
/// with prefills goes on with decodes. A prefill times a KV head is an item; so is a decode, whose heads lie together in
/// memory, unless there are so few that threads would have none. Few decodes by themselves are dealt by their work.
final class AttentionPhase: Phase {
    let layer: AttentionLayer
    let queryKeyValue: TensorRows
    let output: AttentionOutput
    let partials: UnsafeMutablePointer<Float>
    let threadCount: Int
    private let banding: RowBanding

    init(
        layer: AttentionLayer, queryKeyValue: TensorRows, output: AttentionOutput,
        partials: UnsafeMutablePointer<Float>, threadCount: Int
    ) {
        self.layer = layer
        self.queryKeyValue = queryKeyValue
        self.output = output
        self.partials = partials
        self.threadCount = threadCount
        banding = RowBands.banding(threadCount: threadCount)
    }

    override var name: String { output.name("attention") }

    override var dealsItemsSingly: Bool { true }

    private var heads: AttentionHeads { layer.parameters.heads }

    override func itemCount(_ batch: BatchBuffers) -> Int {
        if let shares = shares(batch) { return shares.count }
        return batch.plan.prefillCount * heads.keyValueHeads + batch.plan.decodeCount * decodeParts(batch)
    }

    /// Items that a decode's KV heads are dealt to.
    private func decodeParts(_ batch: BatchBuffers) -> Int {
        batch.plan.decodeCount < threadCount ? heads.keyValueHeads : 1
    }

    override func run(_ items: Range<Int>, worker: Int, batch: BatchBuffers) {
        if let shares = shares(batch) {
            for item in items { run(from: shares.start(of: item), to: shares.start(of: item + 1), batch) }
            return
        }
        let keyValueHeads = heads.keyValueHeads
        let prefills = batch.plan.prefillCount * keyValueHeads
        for item in items {
            let index = place(of: item, among: itemCount(batch), batch)
            if index < prefills {
                let head = index % keyValueHeads
                run(batch.plan.prefills[index / keyValueHeads], batch, keyValueHeads: head..<head + 1)
            } else {
                let (decode, part) = (index - prefills).quotientAndRemainder(dividingBy: decodeParts(batch))
                run(
                    batch.plan.decodes[decode], batch,
                    keyValueHeads: slice(of: keyValueHeads, chunk: part, count: decodeParts(batch)))
            }
        }
    }

    /// The plan's index of an item. Threads take consecutive items. Where the batch is prefills whose rows are in bands,
    /// the plan is already in the order of the threads' bands; otherwise items are dealt round-robin, so that every thread
    /// starts with a long one.
    private func place(of item: Int, among count: Int, _ batch: BatchBuffers) -> Int {
        guard batch.plan.decodeCount > 0 || !banding.pays(rows: batch.tokenCount) else { return item }
        let (each, rest) = count.quotientAndRemainder(dividingBy: threadCount)
        let longer = rest * (each + 1)
        let thread = item < longer ? item / (each + 1) : rest + (item - longer) / max(1, each)
        let share = WorkerPool.share(of: count, worker: thread, threadCount: threadCount)
        return (item - share.lowerBound) * threadCount + thread
    }

    /// One share per thread, where there are no prefills and so few decodes that a thread with one decode more would keep
    /// the others waiting.
    private func shares(_ batch: BatchBuffers) -> DecodeShares? {
        let count = batch.plan.decodeCount
        guard batch.plan.prefillCount == 0, count > 0, count < 4 * threadCount else { return nil }
        return DecodeShares(
            decodes: UnsafeBufferPointer(rebasing: batch.plan.decodes[..<count]), heads: heads,
            threadCount: threadCount)
    }

    private func run(from start: DecodeShares.Place, to end: DecodeShares.Place, _ batch: BatchBuffers) {
        for decode in start.decode..<min(end.decode + 1, batch.plan.decodeCount) {
            let first = decode == start.decode ? start.head : 0
            let last = decode == end.decode ? end.head : heads.queryHeads
            if first < last { run(batch.plan.decodes[decode], batch, heads: first..<last) }
        }
    }

    private func run(_ item: AttentionItem, _ batch: BatchBuffers, keyValueHeads: Range<Int>) {
        let group = heads.groupSize
        run(item, batch, heads: keyValueHeads.lowerBound * group..<keyValueHeads.upperBound * group)
    }

    private func run(_ item: AttentionItem, _ batch: BatchBuffers, heads: Range<Int>) {
        guard let blockTables = batch.blockTables.baseAddress else { return }
        var kernelItem = layer.item(
            item, batch, blockTables: blockTables, query: queryKeyValue, output: output.rows, partials: partials)
        layer.withArguments {
            layer.kernels.attend($0, &kernelItem, Int64(heads.lowerBound), Int64(heads.upperBound))
        }
        guard item.firstPartial < 0 else { return }
        output.encode(rows: Int(item.firstRow)..<Int(item.firstRow + item.rowCount), heads: heads)
    }
}

/// The merge launch: a row times a KV head an item.
final class AttentionMergePhase: Phase {
    let layer: AttentionLayer
    let output: AttentionOutput
    let partials: UnsafeMutablePointer<Float>

    init(layer: AttentionLayer, output: AttentionOutput, partials: UnsafeMutablePointer<Float>) {
        self.layer = layer
        self.output = output
        self.partials = partials
    }

    override var name: String { output.name("merge attention") }

    /// Folding a head's partials takes less than a microsecond.
    override var leastItemsAChunk: Int { 4 }

    override func itemCount(_ batch: BatchBuffers) -> Int {
        batch.plan.mergeCount * layer.parameters.heads.keyValueHeads
    }

    override func run(_ items: Range<Int>, worker: Int, batch: BatchBuffers) {
        let (keyValueHeads, group) = (layer.parameters.heads.keyValueHeads, layer.parameters.heads.groupSize)
        for index in items {
            let merge = batch.plan.merges[index / keyValueHeads]
            let (row, first) = (Int(merge.row), index % keyValueHeads * group)
            layer.withArguments {
                layer.kernels.merge(
                    $0, partials + Int(merge.firstPartial) * layer.partialFloats, Int64(merge.partialCount),
                    output.rows.row(row), Int64(first), Int64(first + group))
            }
            output.encode(rows: row..<row + 1, heads: first..<first + group)
        }
    }
}
