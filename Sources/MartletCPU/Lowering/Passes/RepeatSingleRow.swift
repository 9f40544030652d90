// SPDX-License-Identifier: Apache-2.0

import MartletCompute

/// For a batch of one row, each thread computes the norm and the copy that a linear layer reads itself, where the layer is
/// one chunk per thread: that takes less time than waiting for another thread.
package enum RepeatSingleRow: LoweringPass {
    package static func run(_ operations: inout [Operation], for context: PassContext) {
        for index in operations.indices.dropLast() {
            guard case .rows(var rows) = operations[index].kind, let linear = operations[index + 1].encodedInput,
                let norm = normBeforeCopy(rows, of: linear.input), !norm.accumulates,
                rows.extent == linear.input.rows, linear.output != norm.input,
                context.onlyInputForm(of: linear.weights) != nil,
                !context.isRead(linear.input, after: index + 1, in: operations),
                isOneChunkPerThread(operations[index + 1], context.traits)
            else { continue }
            rows.skippedForSingleRow = 2
            operations[index].kind = .rows(rows)
            switch operations[index + 1].kind {
            case .linear(var operation):
                operation.singleRowNorm = norm
                operations[index + 1].kind = .linear(operation)
            case .gatedLinear(var operation):
                operation.singleRowNorm = norm
                operations[index + 1].kind = .gatedLinear(operation)
            default: break
            }
        }
    }

    /// The norm, where the last steps are that and its output's copy.
    private static func normBeforeCopy(_ rows: RowsOperation, of input: Tensor) -> NormKernel? {
        guard rows.steps.count >= 2, case .encode(input, _) = rows.steps[rows.steps.count - 1],
            case .kernel(.norm(let norm)) = rows.steps[rows.steps.count - 2], norm.output == input
        else { return nil }
        return norm
    }

    private static func isOneChunkPerThread(_ operation: Operation, _ traits: any LoweringTraits) -> Bool {
        let items: LinearItems
        switch operation.kind {
        case .linear(let linear): items = LinearItems(linear, traits)
        case .gatedLinear(let gated): items = LinearItems(gated, traits)
        default: return false
        }
        return ChunkPolicy(threadCount: traits.threadCount).fitsOneChunkPerThread(
            items.count, minimumStealChunk: items.minimumStealChunk)
    }
}
