// SPDX-License-Identifier: Apache-2.0

import CMartletKernels
import MartletCompute

/// Assigns a step's rows to experts: one item.
final class AssignExpertsPhase: Phase {
    let assignment: ExpertAssignment
    let routing: TensorRows

    init(assignment: ExpertAssignment, routing: TensorRows) {
        self.assignment = assignment
        self.routing = routing
    }

    override var name: String { "assign experts" }

    override func itemCount(_ batch: BatchBuffers) -> Int { min(1, assignment.extent.count(batch)) }

    override func run(_ items: Range<Int>, worker: Int, batch: BatchBuffers) {
        assignment.assign(routing, rows: assignment.extent.count(batch))
    }
}

/// Copies each row to the slots of its choices, in the form that the experts' weights are multiplied with.
struct EncodeExpertInputs: RowOperation {
    let kernels: MartletKernelTable
    let assignment: ExpertAssignment
    let input: TensorRows
    let output: MartletLinearInput

    var name: String { output.format.verb }

    func run(rows: Range<Int>, batch: BatchBuffers) {
        withUnsafePointer(to: output) { output in
            for row in rows {
                for choice in 0..<assignment.chosen {
                    let slot = Int64(assignment.slotOfPair[row * assignment.chosen + choice])
                    kernels.encodeRows(
                        input.row(row), Int64(input.columns), slot, 1, 0, Int64(input.columns), output)
                }
            }
        }
    }
}

/// Work on the panels of all experts that a step's rows chose: an expert's panel is an item. A step has items for as many
/// experts as its rows may choose at most; those behind the last are empty.
class ExpertPanelsPhase: Phase {
    final let assignment: ExpertAssignment
    /// Panels of one expert.
    final let panelCount: Int
    private final let stealChunk: Int

    init(assignment: ExpertAssignment, panelCount: Int, minimumStealChunk: Int) {
        self.assignment = assignment
        self.panelCount = panelCount
        stealChunk = minimumStealChunk
    }

    final override var minimumStealChunk: Int { stealChunk }

    final override func itemCount(_ batch: BatchBuffers) -> Int {
        assignment.maximumShares(rows: assignment.extent.count(batch)) * panelCount
    }

    final override func run(_ items: Range<Int>, worker: Int, batch: BatchBuffers) {
        var first = items.lowerBound
        while first < items.upperBound {
            let index = first / panelCount
            guard let share = assignment.share(index) else { return }
            let end = min((index + 1) * panelCount, items.upperBound)
            run(share, panels: first - index * panelCount..<end - index * panelCount)
            first = end
        }
    }

    func run(_ share: ExpertAssignment.Share, panels: Range<Int>) { preconditionFailure("a phase runs") }
}

/// Experts' gate and up projections and the gate between them.
final class ExpertGatePhase: ExpertPanelsPhase {
    let kernels: MartletKernelTable
    let gate: PanelWeight
    let up: PanelWeight
    let gating: MartletGate
    let input: MartletLinearInput
    let output: MartletLinearInput

    /// A parameter for each field.
    init(
        kernels: MartletKernelTable, assignment: ExpertAssignment, gate: PanelWeight,
        up: PanelWeight,
        gating: MartletGate, input: MartletLinearInput, output: MartletLinearInput
    ) {
        self.kernels = kernels
        self.gate = gate
        self.up = up
        self.gating = gating
        self.input = input
        self.output = output
        super.init(
            assignment: assignment, panelCount: gate.panelCount,
            minimumStealChunk: LinearItems.panelsWorthStealing(gate.panelBytes + up.panelBytes))
    }

    override var name: String { "experts + gated activation + \(output.format.verb)" }

    override func run(_ share: ExpertAssignment.Share, panels: Range<Int>) {
        var (input, output) = (input.from(row: share.slots.lowerBound), output.from(row: share.slots.lowerBound))
        var (gate, up) = (gate.panels(ofMatrix: share.expert), up.panels(ofMatrix: share.expert))
        var gating = gating
        kernels.gatedLinear(
            &input, Int64(share.slots.count), &gate, &up, &gating, Int64(panels.lowerBound), Int64(panels.upperBound),
            &output)
    }
}

/// One projection of experts.
final class ExpertLinearPhase: ExpertPanelsPhase {
    let kernels: MartletKernelTable
    let weight: PanelWeight
    /// `[experts, outputs]`
    let bias: UnsafePointer<Float>?
    let input: MartletLinearInput
    /// `[slots, columns]`
    let output: TensorRows
    /// Its first column in the output.
    let column: Int

    /// A parameter for each field.
    init(
        kernels: MartletKernelTable, assignment: ExpertAssignment, weight: PanelWeight,
        bias: UnsafePointer<Float>?, input: MartletLinearInput, output: TensorRows, column: Int = 0
    ) {
        self.kernels = kernels
        self.weight = weight
        self.bias = bias
        self.input = input
        self.output = output
        self.column = column
        super.init(
            assignment: assignment, panelCount: weight.panelCount,
            minimumStealChunk: LinearItems.panelsWorthStealing(weight.panelBytes))
    }

    override var name: String { "experts" }

    override func run(_ share: ExpertAssignment.Share, panels: Range<Int>) {
        var (input, panelsOfExpert) = (input.from(row: share.slots.lowerBound), weight.panels(ofMatrix: share.expert))
        var destination = MartletLinearOutput(
            output: output.row(share.slots.lowerBound) + column, stride: Int64(output.columns),
            columns: Int64(weight.outputs), bias: bias.map { $0 + share.expert * weight.outputs }, accumulates: false)
        kernels.linear(
            &input, Int64(share.slots.count), &panelsOfExpert, Int64(panels.lowerBound), Int64(panels.upperBound),
            &destination)
    }
}

/// The gate of projections that have biases, and its result's copy; by slots of rows.
struct GateExpertRows: RowOperation {
    let kernels: MartletKernelTable
    let assignment: ExpertAssignment
    let gating: MartletGate
    /// `[slots, gate | up]`, whose first half receives the result.
    let gateUp: TensorRows
    let output: MartletLinearInput

    var name: String { "gated activation + \(output.format.verb)" }

    func run(rows: Range<Int>, batch: BatchBuffers) {
        var gating = gating
        withUnsafePointer(to: output) { output in
            for pair in rows.lowerBound * assignment.chosen..<rows.upperBound * assignment.chosen {
                let slot = Int(assignment.slotOfPair[pair])
                let (numbers, columns) = (gateUp.row(slot), Int64(gateUp.columns / 2))
                kernels.gate(&gating, numbers, numbers, columns)
                kernels.encodeRows(numbers, Int64(gateUp.columns), Int64(slot), 1, 0, columns, output)
            }
        }
    }
}

/// Adds a row's results up, each times its share, in the order of the row's choices.
struct CombineExpertRows: RowOperation {
    let name = "combine experts"
    let assignment: ExpertAssignment
    let routing: TensorRows
    /// `[slots, columns]`
    let results: TensorRows
    let output: TensorRows
    let accumulates: Bool

    func run(rows: Range<Int>, batch: BatchBuffers) {
        let columns = output.columns
        for row in rows {
            let sum = output.row(row)
            if !accumulates { sum.update(repeating: 0, count: columns) }
            for choice in 0..<assignment.chosen {
                let share = routing.row(row)[assignment.chosen + choice]
                let result = results.row(Int(assignment.slotOfPair[row * assignment.chosen + choice]))
                for column in 0..<columns { sum[column] += share * result[column] }
            }
        }
    }
}
