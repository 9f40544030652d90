// SPDX-License-Identifier: Apache-2.0

import CMartletKernels
import MartletCompute

/// The thread that computes heads of attention's output also copies them for the layer that comes next and reads them,
/// where a head is pairs of blocks.
package enum EncodeAttended: LoweringPass {
    package static func run(_ operations: inout [Operation], for context: PassContext) {
        for index in operations.indices.dropLast() {
            guard case .attention(var attention) = operations[index].kind,
                case .linear(let reader) = operations[index + 1].kind,
                reader.linear.input == attention.attention.output,
                attention.attention.parameters.heads.headSize % (2 * Int(MARTLET_BLOCK_LENGTH)) == 0,
                let form = context.onlyInputForm(of: reader.linear.weights)
            else { continue }
            attention.encodedForm = form
            operations[index].kind = .attention(attention)
        }
    }
}
