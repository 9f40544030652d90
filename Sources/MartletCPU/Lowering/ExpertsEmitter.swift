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
        let extent = experts.input.rows
        let assignment = workspace.assignment(
            expertCount: experts.downWeight.count, chosen: experts.chosen, extent: extent)
        let (gate, up) = (environment.panel(experts.gateWeight), environment.panel(experts.upWeight))
        let down = environment.panel(experts.downWeight)
        let routing = try workspace.rows(of: experts.routing)
        let size = experts.downWeight.columns
        func form(_ weight: Weight) -> MartletActivations { environment.inputForm(of: weight) }
        func rows(_ operation: any RowOperation) -> Phase { RowsPhase(extent: extent, operations: [operation]) }
        func encoded(_ name: String, _ columns: Int, _ form: MartletActivations) throws(DeviceError)
            -> MartletLinearInput
        {
            try workspace.linearInput(
                of: slots(name, columns, assignment, extent), in: form, rows: assignment.slotCapacity)
        }
        let input = try encoded("input", experts.input.columns, form(experts.gateWeight))
        let gated = try encoded("gated", size, form(experts.downWeight))
        let results = try workspace.rows(
            of: slots("results", experts.output.columns, assignment, extent), rows: assignment.slotCapacity)
        var phases: [Phase] = [
            AssignExpertsPhase(assignment: assignment, extent: extent, routing: routing),
            rows(
                EncodeExpertInputs(
                    kernels: kernels, assignment: assignment, input: try workspace.rows(of: experts.input),
                    output: input)),
        ]
        if experts.gateBias == nil, experts.upBias == nil, form(experts.gateWeight) == form(experts.upWeight) {
            phases.append(
                ExpertGatePhase(
                    kernels: kernels, assignment: assignment, extent: extent, gate: gate, up: up,
                    gating: MartletGate(experts.gate), input: input, output: gated))
        } else {
            var upInput = input
            if form(experts.upWeight) != form(experts.gateWeight) {
                upInput = try encoded("input", experts.input.columns, form(experts.upWeight))
                phases.append(
                    rows(
                        EncodeExpertInputs(
                            kernels: kernels, assignment: assignment, input: try workspace.rows(of: experts.input),
                            output: upInput)))
            }
            let gateUp = try workspace.rows(
                of: slots("gateUp", 2 * size, assignment, extent), rows: assignment.slotCapacity)
            phases += [
                ExpertLinearPhase(
                    kernels: kernels, assignment: assignment, extent: extent, weight: gate,
                    bias: experts.gateBias.map(environment.vector), input: input, output: gateUp),
                ExpertLinearPhase(
                    kernels: kernels, assignment: assignment, extent: extent, weight: up,
                    bias: experts.upBias.map(environment.vector), input: upInput, output: gateUp, column: size),
                rows(
                    GateExpertRows(
                        kernels: kernels, assignment: assignment, gating: MartletGate(experts.gate), gateUp: gateUp,
                        output: gated)),
            ]
        }
        phases += [
            ExpertLinearPhase(
                kernels: kernels, assignment: assignment, extent: extent, weight: down,
                bias: experts.downBias.map(environment.vector), input: gated, output: results),
            rows(
                CombineExpertRows(
                    assignment: assignment, routing: routing, results: results,
                    output: try workspace.rows(of: experts.output), accumulates: experts.accumulates)),
        ]
        return phases
    }

    /// A tensor that has a row for each slot; shared by all layers of a size.
    private func slots(_ name: String, _ columns: Int, _ assignment: ExpertAssignment, _ extent: RowExtent) -> Tensor {
        Tensor(
            "\(name) of \(assignment.slotCapacity) slots, \(extent), \(columns) columns", rows: extent,
            columns: columns)
    }
}
