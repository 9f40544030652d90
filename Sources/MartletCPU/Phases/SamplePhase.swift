// SPDX-License-Identifier: Apache-2.0

package import MartletCompute

/// Draws a token for each row of logits, a row an item.
package final class SamplePhase: Phase {
    let logits: TensorRows
    let summaries: UnsafeMutablePointer<LogitSummary>
    let samplers: [Sampler]

    package init(logits: TensorRows, summaries: UnsafeMutablePointer<LogitSummary>, samplers: [Sampler]) {
        self.logits = logits
        self.summaries = summaries
        self.samplers = samplers
    }

    override var name: String { "sample" }

    /// The likeliest token is there already; a draw among all takes long.
    override var hasUnevenItems: Bool { true }

    override func itemCount(_ batch: BatchBuffers) -> Int { batch.logitRowCount }

    package override func run(_ items: Range<Int>, worker: Int, batch: BatchBuffers) {
        let slices = LogitSummary.sliceCount(vocabularySize: logits.columns)
        for row in items {
            let summary = LogitSummary(joining: UnsafeBufferPointer(start: summaries + row * slices, count: slices))
            batch.samples[row] = samplers[worker].sample(
                logits.row(row), batch.sampling[row], summary: summary, edits: batch.logitEdits,
                top: batch.topLogprobs.baseAddress.map { $0 + row * batch.capacity.topLogprobs })
        }
    }
}
