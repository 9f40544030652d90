// SPDX-License-Identifier: Apache-2.0

package import CMartletKernels
package import MartletCompute

struct NormRows: RowOperation {
    let name = "norm"
    let kernels: MartletKernelTable
    let input: TensorRows
    let norm: MartletNorm
    let output: TensorRows

    func run(rows: Range<Int>, batch: BatchBuffers) {
        for row in rows { run(row: row, into: output.row(row)) }
    }

    func run(row: Int, into output: UnsafeMutablePointer<Float>) {
        withUnsafePointer(to: norm) { kernels.norm($0, input.row(row), output, Int64(input.columns)) }
    }
}

/// Writes a tensor's copy in the form that linear layers read.
package struct EncodeRows: RowOperation {
    let kernels: MartletKernelTable
    let input: TensorRows
    let output: MartletLinearInput

    package init(kernels: MartletKernelTable, input: TensorRows, output: MartletLinearInput) {
        self.kernels = kernels
        self.input = input
        self.output = output
    }

    var name: String { output.format.verb }

    package func run(rows: Range<Int>, batch: BatchBuffers) { run(rows: rows, columns: 0..<input.columns) }

    /// Some columns: pairs of blocks, unless they are the last.
    func run(rows: Range<Int>, columns: Range<Int>) {
        withUnsafePointer(to: output) {
            kernels.encodeRows(
                input.row(rows.lowerBound) + columns.lowerBound, Int64(input.columns), Int64(rows.lowerBound),
                Int64(rows.count), Int64(columns.lowerBound), Int64(columns.count), $0)
        }
    }
}

extension MartletActivations {
    /// What becoming them is called in listings and traces.
    var verb: String { self == .bfloat16 ? "round" : "quantize" }
}
