// SPDX-License-Identifier: Apache-2.0

package import CMartletKernels
package import MartletCompute

/// Gate and up projections, the activation and its rounding to what the next layer multiplies, panel by panel: neither
/// the projections nor the activated values travel through memory.
package final class GatedLinearPhase: RowwisePhase {
    let outputName: String
    let kernels: MartletKernelTable
    let gate: MartletPanels
    let up: MartletPanels
    let gating: MartletGate
    let input: MartletLinearInput
    let output: MartletLinearInput
    private let singleRow: SingleRowInput?
    private let items: LinearItems

    /// A parameter for each field.
    ///
    /// - Parameter singleRow: as of `LinearPhase`.
    package init(
        outputName: String, kernels: MartletKernelTable, extent: RowExtent, gate: MartletPanels, up: MartletPanels,
        gating: MartletGate, input: MartletLinearInput, output: MartletLinearInput, singleRow: SingleRowInput? = nil,
        items: LinearItems
    ) {
        self.outputName = outputName
        self.kernels = kernels
        self.gate = gate
        self.up = up
        self.gating = gating
        self.input = input
        self.output = output
        self.singleRow = singleRow
        self.items = items
        super.init(extent: extent)
    }

    override var name: String {
        "linear + gated activation + \(output.format.verb) \(outputName)"
    }

    override var minimumStealChunk: Int { items.minimumStealChunk }

    package override func itemCount(_ batch: BatchBuffers) -> Int { items.count }

    package override func run(_ items: Range<Int>, worker: Int, batch: BatchBuffers) {
        run(items, rows: 0..<extent.count(batch), input: singleRow?.input(worker: worker, batch: batch) ?? input)
    }

    override func run(rows: Range<Int>, batch: BatchBuffers) {
        run(0..<items.count, rows: rows, input: input.from(row: rows.lowerBound))
    }

    private func run(_ panels: Range<Int>, rows: Range<Int>, input: MartletLinearInput) {
        var (input, output) = (input, output.from(row: rows.lowerBound))
        var (gate, up, gating) = (gate, up, gating)
        kernels.gatedLinear(
            &input, Int64(rows.count), &gate, &up, &gating, Int64(panels.lowerBound), Int64(panels.upperBound),
            &output)
    }

    /// Gate and up in turn, as they are read.
    override func prefetch(_ items: Range<Int>, step: Int, batch: BatchBuffers) -> Bool {
        guard WeightPrefetch.isWorthwhile(rows: extent.count(batch)) else { return false }
        return WeightPrefetch.step(step / 2, of: step % 2 == 0 ? gate : up, panels: items)
    }
}
