// SPDX-License-Identifier: Apache-2.0

import CMartletKernels
import MartletCompute

/// The prefill and the decode launch. No barrier stands between them: their rows are disjoint, and whoever is done
/// with prefills goes on with decodes. A prefill times a KV head is an item; so is a decode, whose heads lie together in
/// memory, unless there are so few that threads would have none.
final class AttentionPhase: Phase {
    let layer: AttentionLayer
    let queryKeyValue: TensorRows
    let output: TensorRows
    let partials: UnsafeMutablePointer<Float>
    let threadCount: Int
    private let banding: RowBanding

    init(
        layer: AttentionLayer, queryKeyValue: TensorRows, output: TensorRows, partials: UnsafeMutablePointer<Float>,
        threadCount: Int
    ) {
        self.layer = layer
        self.queryKeyValue = queryKeyValue
        self.output = output
        self.partials = partials
        self.threadCount = threadCount
        banding = RowBands.banding(threadCount: threadCount)
    }

    override var name: String { "attention" }

    override var dealsItemsSingly: Bool { true }

    override func itemCount(_ batch: BatchBuffers) -> Int {
        batch.plan.prefillCount * layer.parameters.heads.keyValueHeads + batch.plan.decodeCount * decodeParts(batch)
    }

    /// Items that a decode's KV heads are dealt to.
    private func decodeParts(_ batch: BatchBuffers) -> Int {
        batch.plan.decodeCount < threadCount ? layer.parameters.heads.keyValueHeads : 1
    }

    override func run(_ items: Range<Int>, worker: Int, batch: BatchBuffers) {
        let heads = layer.parameters.heads.keyValueHeads
        let prefills = batch.plan.prefillCount * heads
        for item in items {
            let index = place(of: item, among: itemCount(batch), batch)
            if index < prefills {
                run(batch.plan.prefills[index / heads], batch, heads: index % heads..<index % heads + 1)
            } else {
                let (decode, part) = (index - prefills).quotientAndRemainder(dividingBy: decodeParts(batch))
                run(
                    batch.plan.decodes[decode], batch,
                    heads: slice(of: heads, chunk: part, count: decodeParts(batch)))
            }
        }
    }

    /// Where the plan has the item of a number. Threads take numbers that follow each other. Where all are prefills of
    /// rows in bands they stand as the threads that have the rows take them; elsewhere each thread has every so
    /// manyth, so that all begin with long ones.
    private func place(of item: Int, among count: Int, _ batch: BatchBuffers) -> Int {
        guard batch.plan.decodeCount > 0 || !banding.pays(rows: batch.tokenCount) else { return item }
        let (each, rest) = count.quotientAndRemainder(dividingBy: threadCount)
        let longer = rest * (each + 1)
        let thread = item < longer ? item / (each + 1) : rest + (item - longer) / max(1, each)
        let share = WorkerPool.share(of: count, worker: thread, threadCount: threadCount)
        return (item - share.lowerBound) * threadCount + thread
    }

    private func run(_ item: AttentionItem, _ batch: BatchBuffers, heads: Range<Int>) {
        guard let blockTables = batch.blockTables.baseAddress else { return }
        var item = layer.item(
            item, batch, blockTables: blockTables, query: queryKeyValue, output: output, partials: partials)
        layer.withArguments {
            layer.kernels.attend($0, &item, Int64(heads.lowerBound), Int64(heads.upperBound))
        }
    }
}

/// The merge launch: a row times a KV head an item.
final class AttentionMergePhase: Phase {
    let layer: AttentionLayer
    let output: TensorRows
    let partials: UnsafeMutablePointer<Float>

    init(layer: AttentionLayer, output: TensorRows, partials: UnsafeMutablePointer<Float>) {
        self.layer = layer
        self.output = output
        self.partials = partials
    }

    override var name: String { "merge attention" }

    /// Folding a head's partials takes less than a microsecond.
    override var leastItemsAChunk: Int { 4 }

    override func itemCount(_ batch: BatchBuffers) -> Int {
        batch.plan.mergeCount * layer.parameters.heads.keyValueHeads
    }

    override func run(_ items: Range<Int>, worker: Int, batch: BatchBuffers) {
        let heads = layer.parameters.heads.keyValueHeads
        for index in items {
            let merge = batch.plan.merges[index / heads]
            let head = Int64(index % heads)
            layer.withArguments {
                layer.kernels.merge(
                    $0, partials + Int(merge.firstPartial) * layer.partialFloats, Int64(merge.partialCount),
                    output.row(Int(merge.row)), head, head + 1)
            }
        }
    }
}
