// SPDX-License-Identifier: Apache-2.0

import CMartletKernels
import MartletCompute

/// Makes the phases of experts: rows are copied to slots beside the other rows of their expert, each expert's panels run
/// over its slots, and each row adds its results up.
struct ExpertsEmitter {
    private let environment: LoweringEnvironment
    private var kernels: MartletKernelTable { environment.kernels }
    private var workspace: CPUWorkspace { environment.workspace }

    init(_ environment: LoweringEnvironment) { self.environment = environment }

    func phases(of experts: ExpertsKernel) throws(DeviceError) -> [Phase] {
        let assignment = workspace.assignment(
            expertCount: experts.downWeight.count, chosen: experts.chosen, extent: experts.input.rows)
        let routing = try workspace.rows(of: experts.routing)
        let gated = try encoded("gated", experts.downWeight.columns, for: experts.downWeight, assignment)
        let results = try slots("results", experts.output.columns, assignment)
        let assign = AssignExpertsPhase(assignment: assignment, routing: routing)
        let down = ExpertLinearPhase(
            kernels: kernels, assignment: assignment, weight: environment.panel(experts.downWeight),
            bias: experts.downBias.map(environment.vector), input: gated, output: results)
        let combine = rows(
            CombineExpertRows(
                assignment: assignment, routing: routing, results: results,
                output: try workspace.rows(of: experts.output), accumulates: experts.accumulates), assignment)
        return [assign] + (try gatePhases(of: experts, assignment, gated)) + [down, combine]
    }

    /// From the rows' inputs to their gated projections: in one phase where nothing comes between projection and gate.
    private func gatePhases(
        of experts: ExpertsKernel, _ assignment: ExpertAssignment, _ gated: MartletLinearInput
    ) throws(DeviceError) -> [Phase] {
        let (gate, up) = (environment.panel(experts.gateWeight), environment.panel(experts.upWeight))
        let (copy, input) = try encodePhase(of: experts, for: experts.gateWeight, assignment)
        let isOneForm = environment.inputForm(of: experts.gateWeight) == environment.inputForm(of: experts.upWeight)
        guard experts.gateBias != nil || experts.upBias != nil || !isOneForm else {
            return [
                copy,
                ExpertGatePhase(
                    kernels: kernels, assignment: assignment, gate: gate, up: up, gating: MartletGate(experts.gate),
                    input: input, output: gated),
            ]
        }
        let (upCopy, upInput) = try encodePhase(of: experts, for: experts.upWeight, assignment)
        let size = experts.downWeight.columns
        let gateUp = try slots("gateUp", 2 * size, assignment)
        let gateRows = GateExpertRows(
            kernels: kernels, assignment: assignment, gating: MartletGate(experts.gate), gateUp: gateUp, output: gated)
        return (isOneForm ? [copy] : [copy, upCopy]) + [
            ExpertLinearPhase(
                kernels: kernels, assignment: assignment, weight: gate, bias: experts.gateBias.map(environment.vector),
                input: input, output: gateUp),
            ExpertLinearPhase(
                kernels: kernels, assignment: assignment, weight: up, bias: experts.upBias.map(environment.vector),
                input: upInput, output: gateUp, column: size), rows(gateRows, assignment),
        ]
    }

    /// Copies rows to their slots in the form that a weight is multiplied with.
    private func encodePhase(
        of experts: ExpertsKernel, for weight: Weight, _ assignment: ExpertAssignment
    ) throws(DeviceError) -> (phase: Phase, output: MartletLinearInput) {
        let output = try encoded("input", experts.input.columns, for: weight, assignment)
        let operation = EncodeExpertInputs(
            kernels: kernels, assignment: assignment, input: try workspace.rows(of: experts.input), output: output)
        return (rows(operation, assignment), output)
    }

    private func rows(_ operation: any RowOperation, _ assignment: ExpertAssignment) -> Phase {
        RowsPhase(extent: assignment.extent, operations: [operation])
    }

    private func encoded(
        _ name: String, _ columns: Int, for weight: Weight, _ assignment: ExpertAssignment
    ) throws(DeviceError) -> MartletLinearInput {
        try workspace.linearInput(
            of: tensor(name, columns, assignment), in: environment.inputForm(of: weight), rows: assignment.slotCapacity)
    }

    private func slots(_ name: String, _ columns: Int, _ assignment: ExpertAssignment) throws(DeviceError) -> TensorRows
    {
        try workspace.rows(of: tensor(name, columns, assignment), rows: assignment.slotCapacity)
    }

    /// A tensor that has a row for each slot; shared by all layers of a size.
    private func tensor(_ name: String, _ columns: Int, _ assignment: ExpertAssignment) -> Tensor {
        Tensor(
            "\(name) of \(assignment.slotCapacity) slots, \(assignment.extent), \(columns) columns",
            rows: assignment.extent, columns: columns)
    }
}
