// SPDX-License-Identifier: Apache-2.0

import MartletCompute

/// Projections to heads, and what is done with each head by itself, become one operation, where a head is whole panels:
/// the thread that has projected a head goes on with it.
package enum FuseHeadProjections: LoweringPass {
    package static func run(_ operations: inout [Operation], for context: PassContext) {
        var index = 0
        while index + 1 < operations.count {
            if case .linear(var first) = operations[index].kind, case .rows(let rows) = operations[index + 1].kind,
                case .kernel(.prepareHeads(let heads)) = rows.steps.first, rows.steps.count == 1,
                heads.queryKeyValue == first.linear.output, isPossible(first.linear, heads, context)
            {
                first.heads = heads
                let kernels = operations[index].kernels.lowerBound...operations[index + 1].kernels.upperBound
                operations.replaceSubrange(index...index + 1, with: [Operation(kind: .linear(first), kernels: kernels)])
            }
            index += 1
        }
    }

    private static func isPossible(
        _ linear: LinearKernel, _ preparation: HeadPreparation, _ context: PassContext
    ) -> Bool {
        let headSize = preparation.heads.headSize
        let norms = [preparation.queryNorm, preparation.keyNorm, preparation.valueNorm]
        return !linear.accumulates && headSize % PanelWeight.panelColumns == 0
            && linear.weights.allSatisfy { $0.rows % headSize == 0 }
            && norms.allSatisfy { $0?.extent != .allHeads }
            && dealsEvenly(linear.output.columns, by: headSize, threads: context.traits.threadCount)
    }

    /// Whether the thread that has the most columns has hardly more of them than if they were dealt panel by panel.
    private static func dealsEvenly(_ columns: Int, by item: Int, threads: Int) -> Bool {
        func most(by item: Int) -> Int { (columns / item + threads - 1) / threads * item }
        return most(by: item) * 4 <= most(by: PanelWeight.panelColumns) * 5
    }
}
