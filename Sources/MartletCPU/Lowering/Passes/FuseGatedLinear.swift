// SPDX-License-Identifier: Apache-2.0

import MartletCompute

/// Gate and up projections, the gate between them and the copy for the layer that reads it become one operation, where
/// nothing else reads what lies between.
package enum FuseGatedLinear: LoweringPass {
    package static func run(_ operations: inout [Operation], for context: PassContext) {
        var index = 0
        while index + 2 < operations.count {
            if let fused = fused(at: index, operations, context) {
                let kernels = operations[index].kernels.lowerBound...operations[index + 1].kernels.upperBound
                operations.replaceSubrange(
                    index...index + 1, with: [Operation(kind: .gatedLinear(fused), kernels: kernels)])
            }
            index += 1
        }
    }

    private static func fused(
        at index: Int, _ operations: [Operation], _ context: PassContext
    ) -> GatedLinearOperation? {
        guard case .linear(let first) = operations[index].kind, case .rows(let rows) = operations[index + 1].kind,
            case .linear(let reader) = operations[index + 2].kind,
            case .kernel(.gatedActivation(first.linear.output, let gated, let gate)) = rows.steps.first,
            rows.steps.count == 1
        else { return nil }
        let projections = first.linear
        guard projections.weights.count == 2, projections.weights[0].rows == projections.weights[1].rows,
            projections.biases.isEmpty, !projections.accumulates,
            reader.linear.input == gated, gated != projections.input, gated.rows == projections.input.rows,
            gated.columns == projections.weights[0].rows,
            context.onlyInputForm(of: projections.weights) != nil,
            let form = context.onlyInputForm(of: reader.linear.weights),
            !context.isRead(projections.output, after: index + 1, in: operations),
            !context.isRead(gated, after: index + 2, in: operations)
        else { return nil }
        return GatedLinearOperation(projections: projections, gate: gate, gated: gated, form: form)
    }
}
