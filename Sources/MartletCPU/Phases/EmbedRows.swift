// SPDX-License-Identifier: Apache-2.0

import MartletCompute

struct EmbedRows: RowOperation {
    let name = "embed"
    let kernel: EmbedKernel
    let table: PanelWeight
    let output: TensorRows
    /// Rows to unpack into where the output is added to.
    let scratch: TensorRows?

    func run(rows: Range<Int>, batch: BatchBuffers) {
        for row in rows {
            let index = Int(kernel.index == .tokenID ? batch.tokenIDs[row] : batch.positions[row])
            guard let scratch else {
                table.unpack(row: index, into: output.row(row))
                if kernel.scale != 1 { for column in 0..<output.columns { output.row(row)[column] *= kernel.scale } }
                continue
            }
            table.unpack(row: index, into: scratch.row(row))
            for column in 0..<output.columns { output.row(row)[column] += scratch.row(row)[column] * kernel.scale }
        }
    }
}
