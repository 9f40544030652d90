// SPDX-License-Identifier: Apache-2.0

import MartletCompute

/// Neighbouring operations on rows of one extent become one, so that norm + quantise costs one barrier.
package enum JoinRows: LoweringPass {
    package static func run(_ operations: inout [Operation], for context: PassContext) {
        var result: [Operation] = []
        for operation in operations {
            if case .rows(let rows) = operation.kind, let last = result.last, case .rows(var joined) = last.kind,
                joined.extent == rows.extent
            {
                joined.steps += rows.steps
                result[result.count - 1] = Operation(
                    kind: .rows(joined), kernels: last.kernels.lowerBound...operation.kernels.upperBound)
            } else {
                result.append(operation)
            }
        }
        operations = result
    }
}
