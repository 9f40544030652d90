// SPDX-License-Identifier: Apache-2.0

import MartletCompute

/// Draws a token for each row of logits, a row an item.
struct SamplePhase: Phase {
    let logits: TensorRows
    let samplers: [Sampler]

    var name: String { "sample" }

    func itemCount(_ batch: BatchBuffers) -> Int { batch.logitRowCount }

    func run(_ items: Range<Int>, worker: Int, batch: BatchBuffers) {
        for row in items {
            batch.samples[row] = samplers[worker].sample(
                logits.row(row), batch.sampling[row], edits: batch.logitEdits,
                top: batch.topLogprobs.baseAddress.map { $0 + row * batch.capacity.topLogprobs })
        }
    }
}
