// SPDX-License-Identifier: Apache-2.0

import CMartletKernels
import MartletCompute

/// Sums rows of logits up, a slice of a row an item: of one row there is work for all threads.
final class LogitSummaryPhase: Phase {
    let kernels: MartletKernelTable
    let logits: TensorRows
    /// `[rows][slices]`
    let summaries: UnsafeMutablePointer<LogitSummary>

    init(kernels: MartletKernelTable, logits: TensorRows, summaries: UnsafeMutablePointer<LogitSummary>) {
        self.kernels = kernels
        self.logits = logits
        self.summaries = summaries
    }

    override var name: String { "summarize logits" }

    /// A slice takes a few microseconds.
    override var leastItemsAChunk: Int { 2 }

    private var slices: Int { LogitSummary.sliceCount(vocabularySize: logits.columns) }

    override func itemCount(_ batch: BatchBuffers) -> Int { batch.logitRowCount * slices }

    override func run(_ items: Range<Int>, worker: Int, batch: BatchBuffers) {
        for item in items {
            summaries[item] = LogitSummary(
                slice: item % slices, of: logits.row(item / slices), vocabularySize: logits.columns, kernels: kernels)
        }
    }
}

/// Draws a token for each row of logits, a row an item.
final class SamplePhase: Phase {
    let logits: TensorRows
    let summaries: UnsafeMutablePointer<LogitSummary>
    let samplers: [Sampler]

    init(logits: TensorRows, summaries: UnsafeMutablePointer<LogitSummary>, samplers: [Sampler]) {
        self.logits = logits
        self.summaries = summaries
        self.samplers = samplers
    }

    override var name: String { "sample" }

    /// The likeliest token is there already; a draw among all takes long.
    override var dealsItemsSingly: Bool { true }

    override func itemCount(_ batch: BatchBuffers) -> Int { batch.logitRowCount }

    override func run(_ items: Range<Int>, worker: Int, batch: BatchBuffers) {
        let slices = LogitSummary.sliceCount(vocabularySize: logits.columns)
        for row in items {
            let summary = LogitSummary(joining: UnsafeBufferPointer(start: summaries + row * slices, count: slices))
            batch.samples[row] = samplers[worker].sample(
                logits.row(row), batch.sampling[row], summary: summary, edits: batch.logitEdits,
                top: batch.topLogprobs.baseAddress.map { $0 + row * batch.capacity.topLogprobs })
        }
    }
}
