// SPDX-License-Identifier: Apache-2.0

package import CMartletKernels
package import MartletCompute

/// Sums rows of logits up, a slice of a row an item: of one row there is work for all threads.
package final class LogitSummaryPhase: Phase {
    let kernels: MartletKernelTable
    let logits: TensorRows
    /// `[rows][slices]`
    let summaries: UnsafeMutablePointer<LogitSummary>

    package init(kernels: MartletKernelTable, logits: TensorRows, summaries: UnsafeMutablePointer<LogitSummary>) {
        self.kernels = kernels
        self.logits = logits
        self.summaries = summaries
    }

    override var name: String { "summarize logits" }

    /// A slice takes a few microseconds.
    override var minimumChunk: Int { 2 }

    private var slices: Int { LogitSummary.sliceCount(vocabularySize: logits.columns) }

    package override func itemCount(_ batch: BatchBuffers) -> Int { batch.logitRowCount * slices }

    package override func run(_ items: Range<Int>, worker: Int, batch: BatchBuffers) {
        for item in items {
            summaries[item] = LogitSummary(
                slice: item % slices, of: logits.row(item / slices), vocabularySize: logits.columns, kernels: kernels)
        }
    }
}
