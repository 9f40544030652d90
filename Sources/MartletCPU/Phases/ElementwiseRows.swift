// SPDX-License-Identifier: Apache-2.0

package import CMartletKernels
import Glibc
package import MartletCompute

struct ActivationRows: RowOperation {
    let name = "activation"
    let kernels: MartletKernelTable
    let input: TensorRows
    let output: TensorRows
    let function: MartletFunction

    func run(rows: Range<Int>, batch: BatchBuffers) {
        for row in rows { kernels.activate(function, input.row(row), output.row(row), Int64(output.columns)) }
    }
}

struct GatedActivationRows: RowOperation {
    let name = "gated activation"
    let kernels: MartletKernelTable
    let input: TensorRows
    let output: TensorRows
    let gate: MartletGate

    func run(rows: Range<Int>, batch: BatchBuffers) {
        withUnsafePointer(to: gate) {
            for row in rows { kernels.gate($0, input.row(row), output.row(row), Int64(output.columns)) }
        }
    }
}

struct GatherRows: RowOperation {
    let name = "gather"
    let input: TensorRows
    let output: TensorRows

    func run(rows: Range<Int>, batch: BatchBuffers) {
        for row in rows { output.row(row).update(from: input.row(Int(batch.logitRows[row])), count: input.columns) }
    }
}

struct AddRows: RowOperation {
    let name = "add"
    let input: TensorRows
    let scale: Float
    let gate: TensorRows?
    let output: TensorRows

    func run(rows: Range<Int>, batch: BatchBuffers) {
        for row in rows {
            let factor = gate.map { scale / (1 + exp(-$0.row(row)[0])) } ?? scale
            let (source, target) = (input.row(row), output.row(row))
            for column in 0..<output.columns { target[column] += source[column] * factor }
        }
    }
}

struct ScaleRows: RowOperation {
    let name = "scale"
    let tensor: TensorRows
    let factor: Float
    let softcap: Float?

    func run(rows: Range<Int>, batch: BatchBuffers) {
        for row in rows {
            let numbers = tensor.row(row)
            for column in 0..<tensor.columns { numbers[column] *= factor }
            guard let softcap else { continue }
            for column in 0..<tensor.columns { numbers[column] = softcap * tanh(numbers[column] / softcap) }
        }
    }
}

extension MartletFunction {
    package init(_ activation: Activation) {
        self =
            switch activation {
            case .silu: .silu
            case .gelu: .gelu
            case .geluTanh: .geluTanh
            case .reluSquared: .reluSquared
            }
    }
}

extension MartletGate {
    package init(_ gate: Gate) {
        switch gate {
        case .product(let activation): self.init(function: MartletFunction(activation), alpha: 0, limit: 0)
        case .clampedSwiGLU(let alpha, let limit): self.init(function: .clampedSwiGLU, alpha: alpha, limit: limit)
        }
    }
}
