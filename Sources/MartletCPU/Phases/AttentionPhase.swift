// SPDX-License-Identifier: Apache-2.0

import CMartletKernels
import MartletCompute

/// The prefill and the decode launch. No barrier stands between them: their rows are disjoint, and a thread that is done
/// with prefills goes on with decodes. A prefill times a KV head is an item. A decode is one item, because its heads lie
/// together in memory; where there are fewer decodes than threads, a decode times a KV head is one. Few decodes by
/// themselves are dealt by their work.
final class AttentionPhase: Phase {
    let layer: AttentionLayer
    let plan: Int
    let queryKeyValue: TensorRows
    let output: AttentionOutput
    let partials: UnsafeMutablePointer<Float>
    let threadCount: Int
    private let banding: RowBanding

    init(
        layer: AttentionLayer, plan: Int, queryKeyValue: TensorRows, output: AttentionOutput,
        partials: UnsafeMutablePointer<Float>, threadCount: Int
    ) {
        self.layer = layer
        self.plan = plan
        self.queryKeyValue = queryKeyValue
        self.output = output
        self.partials = partials
        self.threadCount = threadCount
        banding = RowBanding(threadCount: threadCount)
    }

    override var name: String { output.name("attention") }

    override var hasUnevenItems: Bool { true }

    private var heads: AttentionHeads { layer.parameters.heads }

    override func itemCount(_ batch: BatchBuffers) -> Int {
        if let shares = shares(batch) { return shares.count }
        return batch.plans[plan].prefillCount * heads.keyValueHeads + batch.plans[plan].decodeCount * decodeParts(batch)
    }

    /// Items that a decode's KV heads are dealt to.
    private func decodeParts(_ batch: BatchBuffers) -> Int {
        batch.plans[plan].decodeCount < threadCount ? heads.keyValueHeads : 1
    }

    override func run(_ items: Range<Int>, worker: Int, batch: BatchBuffers) {
        if let shares = shares(batch) {
            for item in items { run(from: shares.start(of: item), to: shares.start(of: item + 1), batch) }
            return
        }
        let keyValueHeads = heads.keyValueHeads
        let prefills = batch.plans[plan].prefillCount * keyValueHeads
        for item in items {
            let index = planIndex(of: item, among: itemCount(batch), batch)
            if index < prefills {
                let head = index % keyValueHeads
                run(batch.plans[plan].prefills[index / keyValueHeads], batch, keyValueHeads: head..<head + 1)
            } else {
                let (decode, part) = (index - prefills).quotientAndRemainder(dividingBy: decodeParts(batch))
                run(
                    batch.plans[plan].decodes[decode], batch,
                    keyValueHeads: slice(of: keyValueHeads, chunk: part, count: decodeParts(batch)))
            }
        }
    }

    /// The plan's index of an item. Threads take consecutive items. Where the batch is prefills whose rows are in bands,
    /// the plan is already in the order of the threads' bands; otherwise items are dealt round-robin, so that every thread
    /// starts with a long one.
    private func planIndex(of item: Int, among count: Int, _ batch: BatchBuffers) -> Int {
        guard batch.plans[plan].decodeCount > 0 || !banding.isWorthwhile(rows: batch.tokenCount) else { return item }
        let (each, rest) = count.quotientAndRemainder(dividingBy: threadCount)
        let longer = rest * (each + 1)
        let thread = item < longer ? item / (each + 1) : rest + (item - longer) / max(1, each)
        let share = WorkerPool.share(of: count, worker: thread, threadCount: threadCount)
        return (item - share.lowerBound) * threadCount + thread
    }

    /// One share per thread, where there are no prefills and so few decodes that a thread with one decode more would keep
    /// the others waiting.
    private func shares(_ batch: BatchBuffers) -> DecodeShares? {
        let count = batch.plans[plan].decodeCount
        guard batch.plans[plan].prefillCount == 0, count > 0, count < 4 * threadCount else { return nil }
        return DecodeShares(
            decodes: UnsafeBufferPointer(rebasing: batch.plans[plan].decodes[..<count]), heads: heads,
            threadCount: threadCount)
    }

    private func run(from start: DecodeShares.Place, to end: DecodeShares.Place, _ batch: BatchBuffers) {
        for decode in start.decode..<min(end.decode + 1, batch.plans[plan].decodeCount) {
            let first = decode == start.decode ? start.head : 0
            let last = decode == end.decode ? end.head : heads.queryHeads
            if first < last { run(batch.plans[plan].decodes[decode], batch, heads: first..<last) }
        }
    }

    private func run(_ item: AttentionItem, _ batch: BatchBuffers, keyValueHeads: Range<Int>) {
        let group = heads.groupSize
        run(item, batch, heads: keyValueHeads.lowerBound * group..<keyValueHeads.upperBound * group)
    }

    private func run(_ item: AttentionItem, _ batch: BatchBuffers, heads: Range<Int>) {
        var kernelItem = layer.item(item, batch, query: queryKeyValue, output: output.rows, partials: partials)
        layer.withArguments {
            layer.kernels.attend($0, &kernelItem, Int64(heads.lowerBound), Int64(heads.upperBound))
        }
        guard item.firstPartial < 0 else { return }
        output.encode(rows: Int(item.firstRow)..<Int(item.firstRow + item.rowCount), heads: heads)
    }
}
