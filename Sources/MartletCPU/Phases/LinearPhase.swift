// SPDX-License-Identifier: Apache-2.0

package import CMartletKernels
package import MartletCompute

/// A linear layer: the panels of all its weights in a row, a panel an item, every row of the batch in each. Where heads are
/// prepared behind it, a head's panels are an item, and the thread that has projected a head prepares it.
package final class LinearPhase: RowwisePhase {
    /// One weight of the layer and where its outputs go.
    package struct WeightSegment {
        let weight: MartletPanels
        let panelCount: Int
        /// The weight's rows.
        let outputs: Int
        let bias: UnsafePointer<Float>?
        /// Its first column in the output.
        let column: Int
        /// The index of its first panel among all segments'.
        let firstPanel: Int
        /// The layer's input in the form that the weight is multiplied with.
        let input: MartletLinearInput

        package init(
            weight: PanelWeight, bias: UnsafePointer<Float>?, column: Int, firstPanel: Int, input: MartletLinearInput
        ) {
            self.weight = weight.panels
            panelCount = weight.panelCount
            outputs = weight.outputs
            self.bias = bias
            self.column = column
            self.firstPanel = firstPanel
            self.input = input
        }

        /// The weight's own panels among some of all.
        func panels(in all: Range<Int>) -> Range<Int> {
            let own = all.clamped(to: firstPanel..<firstPanel + panelCount)
            return own.lowerBound - firstPanel..<own.upperBound - firstPanel
        }
    }

    /// The output tensor's name.
    let outputName: String
    let kernels: MartletKernelTable
    let segments: [WeightSegment]
    let output: TensorRows
    let accumulates: Bool
    private let heads: HeadRows?
    private let singleRow: SingleRowInput?
    private let items: LinearItems

    /// A parameter for each field.
    ///
    /// - Parameters:
    ///   - heads: what is done with the output's heads, which end where panels do.
    ///   - singleRow: what makes the input of a single row, where each thread has one chunk and so makes it once.
    package init(
        outputName: String, kernels: MartletKernelTable, extent: RowExtent, segments: [WeightSegment],
        output: TensorRows, accumulates: Bool, heads: HeadRows? = nil, singleRow: SingleRowInput? = nil,
        items: LinearItems
    ) {
        self.outputName = outputName
        self.kernels = kernels
        self.segments = segments
        self.output = output
        self.accumulates = accumulates
        self.heads = heads
        self.singleRow = singleRow
        self.items = items
        super.init(extent: extent)
    }

    override var name: String { "linear \(outputName)" + (heads.map { " + \($0.name)" } ?? "") }

    override var minimumStealChunk: Int { items.minimumStealChunk }

    package override func itemCount(_ batch: BatchBuffers) -> Int { items.count }

    package override func run(_ items: Range<Int>, worker: Int, batch: BatchBuffers) {
        run(items, rows: 0..<extent.count(batch), input: singleRow?.input(worker: worker, batch: batch), batch)
    }

    override func run(rows: Range<Int>, batch: BatchBuffers) { run(0..<items.count, rows: rows, input: nil, batch) }

    private func run(_ items: Range<Int>, rows: Range<Int>, input: MartletLinearInput?, _ batch: BatchBuffers) {
        run(panels: panels(of: items), rows: rows, input: input)
        guard let heads else { return }
        for group in rows.rowGroups { heads.run(rows: group, heads: items, batch: batch) }
    }

    private func panels(of items: Range<Int>) -> Range<Int> {
        items.lowerBound * self.items.panelsPerItem..<items.upperBound * self.items.panelsPerItem
    }

    /// - Parameter input: instead of the segments' own.
    private func run(panels all: Range<Int>, rows: Range<Int>, input: MartletLinearInput?) {
        for segment in segments {
            let panels = segment.panels(in: all)
            guard !panels.isEmpty else { continue }
            var (input, weight) = (input ?? segment.input.from(row: rows.lowerBound), segment.weight)
            var destination = MartletLinearOutput(
                output: output.row(rows.lowerBound) + segment.column, stride: Int64(output.columns),
                columns: Int64(segment.outputs),
                bias: segment.bias, accumulates: accumulates)
            kernels.linear(
                &input, Int64(rows.count), &weight, Int64(panels.lowerBound), Int64(panels.upperBound), &destination)
        }
    }

    override func prefetch(_ items: Range<Int>, step: Int, batch: BatchBuffers) -> Bool {
        guard WeightPrefetch.isWorthwhile(rows: extent.count(batch)) else { return false }
        let panels = panels(of: items)
        guard let segment = segments.first(where: { !$0.panels(in: panels).isEmpty }) else { return false }
        return WeightPrefetch.step(step, of: segment.weight, panels: segment.panels(in: panels))
    }
}
