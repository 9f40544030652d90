// SPDX-License-Identifier: Apache-2.0

import CMartletKernels
import MartletCompute

/// Sums rows of logits up, a slice of a row an item: of one row there is work for all threads.
struct LogitSummaryPhase: Phase {
    let kernels: MartletKernelTable
    let logits: TensorRows
    /// `[rows][slices]`
    let summaries: UnsafeMutablePointer<LogitSummary>

    var name: String { "summarize logits" }

    /// A slice takes a few microseconds.
    var leastItemsAChunk: Int { 2 }

    private var slices: Int { LogitSummary.sliceCount(vocabularySize: logits.columns) }

    func itemCount(_ batch: BatchBuffers) -> Int { batch.logitRowCount * slices }

    func run(_ items: Range<Int>, worker: Int, batch: BatchBuffers) {
        for item in items {
            summaries[item] = LogitSummary(
                slice: item % slices, of: logits.row(item / slices), vocabularySize: logits.columns, kernels: kernels)
        }
    }
}

/// Draws a token for each row of logits, a row an item.
struct SamplePhase: Phase {
    let logits: TensorRows
    let summaries: UnsafeMutablePointer<LogitSummary>
    let samplers: [Sampler]

    var name: String { "sample" }

    func itemCount(_ batch: BatchBuffers) -> Int { batch.logitRowCount }

    func run(_ items: Range<Int>, worker: Int, batch: BatchBuffers) {
        let slices = LogitSummary.sliceCount(vocabularySize: logits.columns)
        for row in items {
            let summary = LogitSummary(joining: UnsafeBufferPointer(start: summaries + row * slices, count: slices))
            batch.samples[row] = samplers[worker].sample(
                logits.row(row), batch.sampling[row], summary: summary, edits: batch.logitEdits,
                top: batch.topLogprobs.baseAddress.map { $0 + row * batch.capacity.topLogprobs })
        }
    }
}
