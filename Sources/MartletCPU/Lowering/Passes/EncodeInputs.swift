// SPDX-License-Identifier: Apache-2.0

import CMartletKernels
import MartletCompute

/// Before a linear layer its input is copied row by row into the forms that its weights are multiplied with, unless an
/// operation before has left such a copy.
package enum EncodeInputs: LoweringPass {
    private struct Copy: Hashable {
        let tensor: Tensor
        let form: MartletActivations
    }

    package static func run(_ operations: inout [Operation], for context: PassContext) {
        var result: [Operation] = []
        var copies: Set<Copy> = []
        for operation in operations {
            if let linear = operation.encodedInput {
                for form in context.inputForms(of: linear.weights)
                where copies.insert(Copy(tensor: linear.input, form: form)).inserted {
                    let rows = RowsOperation(extent: linear.input.rows, steps: [.encode(linear.input, form)])
                    let index = operation.kernels.lowerBound
                    result.append(Operation(kind: .rows(rows), kernels: index...index))
                }
            }
            for case let write? in operation.accesses.map(\.write) { copies = copies.filter { $0.tensor != write } }
            switch operation.kind {
            case .gatedLinear(let gated): copies.insert(Copy(tensor: gated.gated, form: gated.form))
            case .attention(let attention):
                if let form = attention.encodedForm {
                    copies.insert(Copy(tensor: attention.attention.output, form: form))
                }
            default: break
            }
            result.append(operation)
        }
        operations = result
    }
}
