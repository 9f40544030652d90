// SPDX-License-Identifier: Apache-2.0

import CMartletKernels
import MartletCompute

/// The merge launch: a row times a KV head an item.
final class AttentionMergePhase: Phase {
    let layer: AttentionLayer
    let plan: Int
    let output: AttentionOutput
    let partials: UnsafeMutablePointer<Float>

    init(layer: AttentionLayer, plan: Int, output: AttentionOutput, partials: UnsafeMutablePointer<Float>) {
        self.layer = layer
        self.plan = plan
        self.output = output
        self.partials = partials
    }

    override var name: String { output.name("merge attention") }

    /// Folding a head's partials takes less than a microsecond.
    override var minimumChunk: Int { 4 }

    override func itemCount(_ batch: BatchBuffers) -> Int {
        batch.plans[plan].mergeCount * layer.parameters.heads.keyValueHeads
    }

    override func run(_ items: Range<Int>, worker: Int, batch: BatchBuffers) {
        let (keyValueHeads, group) = (layer.parameters.heads.keyValueHeads, layer.parameters.heads.groupSize)
        for index in items {
            let merge = batch.plans[plan].merges[index / keyValueHeads]
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
