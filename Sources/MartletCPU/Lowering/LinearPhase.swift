// SPDX-License-Identifier: Apache-2.0

import CMartletKernels
import MartletCompute

/// A linear layer: the panels of all its weights in a row, a panel an item, every row of the batch in each. Where what
/// follows takes the output by heads, a head's panels are an item, and whoever has computed a head goes on with it.
final class LinearPhase: RowwisePhase {
    /// One weight's share, where it lies.
    struct Part {
        let weight: MartletPanels
        let panelCount: Int
        /// The weight's rows.
        let outputs: Int
        let bias: UnsafePointer<Float>?
        /// Where its first column stands in the output.
        let column: Int
        /// Where its first panel stands among all parts'.
        let firstPanel: Int
        /// The layer's input in the form that the weight is multiplied with.
        let input: MartletLinearInput

        init(weight: PanelWeight, bias: VectorWeight?, column: Int, firstPanel: Int, input: MartletLinearInput) {
            self.weight = weight.panels
            panelCount = weight.panelCount
            outputs = weight.outputs
            self.bias = bias.map { UnsafePointer($0.memory.pointer(to: Float.self)) }
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
    let parts: [Part]
    let output: TensorRows
    let accumulates: Bool
    private let heads: RotateAndWriteCacheRows?
    private let loneRow: LoneRow?
    private let panelsAnItem: Int
    private let items: Int
    private let leastLeft: Int

    /// - Parameters:
    ///   - heads: what is done with the output's heads, which end where panels do.
    ///   - loneRow: what makes the input of a lone row; taken where a thread has one chunk, and so does it once.
    init(
        outputName: String, kernels: MartletKernelTable, extent: RowExtent, parts: [Part], output: TensorRows,
        accumulates: Bool, heads: RotateAndWriteCacheRows?, loneRow: LoneRow?, deal: Deal
    ) {
        self.outputName = outputName
        self.kernels = kernels
        self.parts = parts
        self.output = output
        self.accumulates = accumulates
        self.heads = heads
        let panelsAnItem = heads.map { $0.parameters.heads.headSize / PanelWeight.panelColumns } ?? 1
        self.panelsAnItem = panelsAnItem
        items = parts.reduce(0) { $0 + $1.panelCount } / panelsAnItem
        leastLeft = parts.first.map { max(1, WeightChunk.leastPanels(of: $0.weight) / panelsAnItem) } ?? 1
        self.loneRow = deal.isOneAThread(items, leastLeft: leastLeft) ? loneRow : nil
        super.init(extent: extent)
    }

    override var name: String { "linear \(outputName)" + (heads.map { " + \($0.name)" } ?? "") }

    /// Whether it makes the input of a lone row.
    var makesLoneRow: Bool { loneRow != nil }

    override var leastItemsLeft: Int { leastLeft }

    override func itemCount(_ batch: BatchBuffers) -> Int { items }

    override func run(_ items: Range<Int>, worker: Int, batch: BatchBuffers) {
        run(items, rows: 0..<extent.count(batch), input: loneRow?.input(worker: worker, batch: batch), batch)
    }

    override func run(rows: Range<Int>, batch: BatchBuffers) { run(0..<items, rows: rows, input: nil, batch) }

    private func run(_ items: Range<Int>, rows: Range<Int>, input: MartletLinearInput?, _ batch: BatchBuffers) {
        run(panels: panels(of: items), rows: rows, input: input)
        guard let heads else { return }
        for group in rows.rowGroups { heads.run(rows: group, heads: items, batch: batch) }
    }

    private func panels(of items: Range<Int>) -> Range<Int> {
        items.lowerBound * panelsAnItem..<items.upperBound * panelsAnItem
    }

    /// - Parameter input: instead of the parts' own.
    private func run(panels all: Range<Int>, rows: Range<Int>, input: MartletLinearInput?) {
        for part in parts {
            let panels = part.panels(in: all)
            guard !panels.isEmpty else { continue }
            var (input, weight) = (input ?? part.input.from(row: rows.lowerBound), part.weight)
            var destination = MartletLinearOutput(
                output: output.row(rows.lowerBound) + part.column, stride: Int64(output.columns),
                columns: Int64(part.outputs),
                bias: part.bias, accumulates: accumulates)
            kernels.linear(
                &input, Int64(rows.count), &weight, Int64(panels.lowerBound), Int64(panels.upperBound), &destination)
        }
    }

    override func prefetch(_ items: Range<Int>, step: Int, batch: BatchBuffers) -> Bool {
        guard WeightPrefetch.pays(rows: extent.count(batch)) else { return false }
        let panels = panels(of: items)
        guard let part = parts.first(where: { !$0.panels(in: panels).isEmpty }) else { return false }
        return WeightPrefetch.step(step, of: part.weight, panels: part.panels(in: panels))
    }
}

/// The fewest weight bytes worth stealing: reading them takes some microseconds, even for one row.
private enum WeightChunk {
    private static let bytes = 256 << 10

    /// - Parameter weights: a panel of each is an item.
    static func leastPanels(of weights: MartletPanels...) -> Int {
        max(1, bytes / max(1, weights.reduce(0) { $0 + Int($1.panelBytes) }))
    }
}

/// Weights on their way into a core's own cache while it waits.
private enum WeightPrefetch {
    private static let bytesAStep = 2048
    /// A part of what the second cache of any core holds.
    private static let mostBytes = 64 << 10

    /// Of many rows each weight is used so often that the memory keeps up by itself.
    static func pays(rows: Int) -> Bool { rows <= 32 }

    /// Asks for a piece of some panels; false behind the last.
    static func step(_ step: Int, of weight: MartletPanels, panels: Range<Int>) -> Bool {
        let panelBytes = Int(weight.panelBytes)
        let (offset, bytes) = (step * bytesAStep, min(panels.count * panelBytes, mostBytes))
        guard offset < bytes else { return false }
        martlet_prefetch(
            weight.base + panels.lowerBound * panelBytes + offset, Int64(min(bytesAStep, bytes - offset)))
        return true
    }
}

/// Gate and up projections, the activation and its rounding to what the next layer multiplies, panel by panel: neither
/// the projections nor the activated values travel through memory.
final class GatedLinearPhase: RowwisePhase {
    let outputName: String
    let kernels: MartletKernelTable
    let gate: MartletPanels
    let up: MartletPanels
    /// Of each.
    let panelCount: Int
    let input: MartletLinearInput
    let output: MartletLinearInput
    private let loneRow: LoneRow?
    private let leastPanelsLeft: Int

    /// - Parameter loneRow: as of `LinearPhase`.
    init(
        outputName: String, kernels: MartletKernelTable, extent: RowExtent, gate: MartletPanels, up: MartletPanels,
        panelCount: Int, input: MartletLinearInput, output: MartletLinearInput, loneRow: LoneRow?, deal: Deal
    ) {
        self.outputName = outputName
        self.kernels = kernels
        self.gate = gate
        self.up = up
        self.panelCount = panelCount
        self.input = input
        self.output = output
        leastPanelsLeft = WeightChunk.leastPanels(of: gate, up)
        self.loneRow = deal.isOneAThread(panelCount, leastLeft: leastPanelsLeft) ? loneRow : nil
        super.init(extent: extent)
    }

    override var name: String {
        "linear + gated activation + \(output.format.verb) \(outputName)"
    }

    /// Whether it makes the input of a lone row.
    var makesLoneRow: Bool { loneRow != nil }

    override var leastItemsLeft: Int { leastPanelsLeft }

    override func itemCount(_ batch: BatchBuffers) -> Int { panelCount }

    override func run(_ items: Range<Int>, worker: Int, batch: BatchBuffers) {
        run(items, rows: 0..<extent.count(batch), input: loneRow?.input(worker: worker, batch: batch) ?? input)
    }

    override func run(rows: Range<Int>, batch: BatchBuffers) {
        run(0..<panelCount, rows: rows, input: input.from(row: rows.lowerBound))
    }

    private func run(_ panels: Range<Int>, rows: Range<Int>, input: MartletLinearInput) {
        var (input, output) = (input, output.from(row: rows.lowerBound))
        var (gate, up) = (gate, up)
        kernels.gatedLinear(
            &input, Int64(rows.count), &gate, &up, Int64(panels.lowerBound), Int64(panels.upperBound), &output)
    }

    /// Gate and up in turn, as they are read.
    override func prefetch(_ items: Range<Int>, step: Int, batch: BatchBuffers) -> Bool {
        guard WeightPrefetch.pays(rows: extent.count(batch)) else { return false }
        return WeightPrefetch.step(step / 2, of: step % 2 == 0 ? gate : up, panels: items)
    }
}
