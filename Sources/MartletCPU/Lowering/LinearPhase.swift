// SPDX-License-Identifier: Apache-2.0

import CMartletKernels
import MartletCompute

/// A linear layer: the panels of all its weights in a row, a panel an item, every row of the batch in each.
struct LinearPhase: Phase {
    /// One weight's share.
    struct Part {
        let weight: PanelWeight
        let bias: VectorWeight?
        /// Where its first column stands in the output.
        let column: Int
        /// Where its first panel stands among the items.
        let firstPanel: Int
    }

    /// The output tensor's name.
    let outputName: String
    let kernels: MartletKernelTable
    let extent: RowExtent
    let parts: [Part]
    /// The input's quantised copy, if a weight reads it.
    let quantized: MartletQuantizedRows?
    /// The input's bf16 copy, if a weight reads it.
    let rounded: UnsafeMutablePointer<UInt16>?
    let output: TensorRows
    let accumulates: Bool

    var name: String { "linear \(outputName)" }

    func itemCount(_ batch: BatchBuffers) -> Int {
        parts.last.map { $0.firstPanel + $0.weight.panelCount } ?? 0
    }

    func run(_ items: Range<Int>, worker: Int, batch: BatchBuffers) {
        let rows = Int64(extent.count(batch))
        for part in parts {
            let panels = items.clamped(to: part.firstPanel..<part.firstPanel + part.weight.panelCount)
            guard !panels.isEmpty else { continue }
            let (begin, end) = (Int64(panels.lowerBound - part.firstPanel), Int64(panels.upperBound - part.firstPanel))
            let destination = MartletLinearOutput(
                output: output.base + part.column, stride: Int64(output.columns), columns: Int64(part.weight.outputs),
                bias: part.bias.map { UnsafePointer($0.memory.pointer(to: Float.self)) }, accumulates: accumulates)
            let memory = part.weight.memory
            switch (part.weight.format, quantized, rounded) {
            case (.fourBit, let quantized?, _):
                kernels.linearFourBit(quantized, 0, rows, memory.pointer(), begin, end, destination)
            case (.eightBit, let quantized?, _):
                kernels.linearEightBit(quantized, 0, rows, memory.pointer(), begin, end, destination)
            case (.bfloat16, _, let rounded?):
                kernels.linearBFloat16(
                    rounded, Int64(part.weight.evenInputs), 0, rows, memory.pointer(), begin, end, destination)
            default: preconditionFailure("the lowering provides the copy that a weight reads")
            }
        }
    }
}
