// SPDX-License-Identifier: Apache-2.0

import MartletCompute

/// Attention's output and, where the next kernel is a linear layer that reads it, its copy for that.
struct AttentionOutput {
    let rows: TensorRows
    let copy: EncodeRows?
    let headSize: Int

    /// Called by the thread that has written some rows' query heads.
    func encode(rows: Range<Int>, heads: Range<Int>) {
        copy?.run(rows: rows, columns: heads.lowerBound * headSize..<heads.upperBound * headSize)
    }

    /// The name of a phase that does something and then encodes.
    func name(_ name: String) -> String { name + (copy.map { " + \($0.name)" } ?? "") }
}
