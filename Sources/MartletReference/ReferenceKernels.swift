// SPDX-License-Identifier: Apache-2.0

import Glibc
import MartletCompute

/// What each kernel computes, a function each.
struct ReferenceKernels {
    let weights: [String: ReferenceWeight]
    let cache: ReferenceCache
    let workspace: ReferenceWorkspace

    /// Whether the kernel's weights are there, in its shapes.
    func check(_ kernel: Kernel) throws(DeviceError) {
        let operands = kernel.operands
        for weight in operands.matrices + operands.vectors {
            guard let found = weights[weight.name], found.count * found.rows == weight.count * weight.rows,
                found.columns == weight.columns
            else {
                throw DeviceError(
                    code: .unsupported,
                    message: "there is no weight \(weight.name) of \(weight.count * weight.rows) rows and "
                        + "\(weight.columns) columns")
            }
        }
    }

    func run(_ kernel: Kernel, _ batch: BatchBuffers) {
        switch kernel {
        case .embed(let kernel): embed(kernel, batch)
        case .rotaryAngles(let frequencies, let magnitude, let output):
            rotaryAngles(frequencies, magnitude, activation(output), batch)
        case .norm(let kernel):
            let (weight, bias) = (kernel.weight.map(numbers), kernel.bias.map(numbers))
            forEachRow(of: kernel.input, kernel.output, accumulates: kernel.accumulates, batch) {
                Self.norm($0, kernel.kind, weight, bias, epsilon: Double(kernel.epsilon))
            }
        case .linear(let kernel):
            let biases = kernel.biases.flatMap(numbers)
            forEachRow(of: kernel.input, kernel.output, accumulates: kernel.accumulates, batch) { input in
                let products = kernel.weights.flatMap { Self.product(weight($0), input) }
                return biases.isEmpty ? products : zip(products, biases).map { $0 + Double($1) }
            }
        case .prepareHeads(let kernel): prepareHeads(kernel, batch)
        case .attention(let kernel): attention(kernel, batch)
        case .activation(let input, let output, let activation):
            forEachRow(of: input, output, batch) { $0.map { Self.activate($0, activation) } }
        case .gatedActivation(let input, let output, let gate):
            forEachRow(of: input, output, batch) { row in
                zip(row.prefix(row.count / 2), row.suffix(row.count / 2)).map { Self.gate($0, up: $1, gate) }
            }
        case .route(let kernel):
            forEachRow(of: kernel.input, kernel.output, batch) { route(kernel, $0) }
        case .experts(let kernel): experts(kernel, batch)
        case .add(let kernel): add(kernel, batch)
        case .scale(let tensor, let factor, let softcap):
            forEachRow(of: tensor, tensor, batch) { row in
                row.map { number in
                    let scaled = number * Double(factor)
                    return softcap.map { Double($0) * tanh(scaled / Double($0)) } ?? scaled
                }
            }
        case .gatherRows(let input, let output):
            for row in 0..<batch.logitRowCount {
                activation(output)[row] = activation(input)[Int(batch.logitRows[row])]
            }
        case .sample(let logits): sample(activation(logits), batch)
        }
    }

    func activation(_ tensor: Tensor) -> ReferenceWorkspace.Activation { workspace.activation(tensor) }

    func rows(of tensor: Tensor, _ batch: BatchBuffers) -> Range<Int> {
        0..<(tensor.rows == .tokens ? batch.tokenCount : batch.logitRowCount)
    }

    /// Checked when the program was compiled.
    func weight(_ weight: Weight) -> ReferenceWeight {
        guard let found = weights[weight.name] else { preconditionFailure("there is no weight \(weight.name)") }
        return found
    }

    func numbers(_ weight: Weight) -> [Float] { self.weight(weight).numbers }

    /// Writes, or adds, what `body` makes of each row of a tensor.
    private func forEachRow(
        of input: Tensor, _ output: Tensor, accumulates: Bool = false, _ batch: BatchBuffers,
        _ body: ([Double]) -> [Double]
    ) {
        let (source, target) = (activation(input), activation(output))
        for row in rows(of: input, batch) {
            let result = body(source[row])
            target[row] = accumulates ? zip(result, target[row]).map { $0 + $1 } : result
        }
    }

    // MARK: Rows

    private func embed(_ kernel: EmbedKernel, _ batch: BatchBuffers) {
        let (table, output) = (weight(kernel.table), activation(kernel.output))
        for row in 0..<batch.tokenCount {
            let index = Int(kernel.index == .tokenID ? batch.tokenIDs[row] : batch.positions[row])
            let numbers = table.row(index).map { Double($0) * Double(kernel.scale) }
            output[row] = kernel.accumulates ? zip(numbers, output[row]).map { $0 + $1 } : numbers
        }
    }

    /// `[cos | sin]`
    private func rotaryAngles(
        _ frequencies: [Double], _ magnitude: Double, _ output: ReferenceWorkspace.Activation, _ batch: BatchBuffers
    ) {
        for row in 0..<batch.tokenCount {
            let angles = frequencies.map { Double(batch.positions[row]) * $0 }
            output[row] = (angles.map { cos($0) } + angles.map { sin($0) }).map { $0 * magnitude }
        }
    }

    static func norm(
        _ input: [Double], _ kind: NormKind = .rootMeanSquare, _ weight: [Float]?, _ bias: [Float]? = nil,
        epsilon: Double
    ) -> [Double] {
        let mean = kind == .layer ? input.reduce(0, +) / Double(input.count) : 0
        let meanSquare = input.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(input.count)
        let factor = 1 / (meanSquare + epsilon).squareRoot()
        return input.indices.map { column in
            (input[column] - mean) * factor * Double(weight?[column] ?? 1) + Double(bias?[column] ?? 0)
        }
    }

    static func activate(_ x: Double, _ activation: Activation) -> Double {
        switch activation {
        case .silu: x / (1 + exp(-x))
        case .gelu: x * 0.5 * (1 + erf(x / 2.0.squareRoot()))
        case .geluTanh: 0.5 * x * (1 + tanh((2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)))
        case .reluSquared: max(x, 0) * max(x, 0)
        }
    }

    static func gate(_ gate: Double, up: Double, _ kind: Gate) -> Double {
        switch kind {
        case .product(let activation): return activate(gate, activation) * up
        case .clampedSwiGLU(let alpha, let limit):
            let (g, u) = (min(gate, Double(limit)), max(-Double(limit), min(up, Double(limit))))
            return (u + 1) * g / (1 + exp(-Double(alpha) * g))
        }
    }

    private func add(_ kernel: AddKernel, _ batch: BatchBuffers) {
        let (input, output) = (activation(kernel.input), activation(kernel.output))
        for row in rows(of: kernel.input, batch) {
            let gate = kernel.gate.map { 1 / (1 + exp(-activation($0)[row][0])) } ?? 1
            output[row] = zip(output[row], input[row]).map { $0 + $1 * Double(kernel.scale) * gate }
        }
    }

    /// `input . weights^T`, of one matrix.
    static func product(_ weights: ReferenceWeight, matrix: Int = 0, _ input: [Double]) -> [Double] {
        weights.numbers.withUnsafeBufferPointer { numbers in
            input.withUnsafeBufferPointer { input in
                (0..<weights.rows).map { output in
                    let start = (matrix * weights.rows + output) * weights.columns
                    var sum = 0.0
                    for column in 0..<weights.columns { sum += Double(numbers[start + column]) * input[column] }
                    return sum
                }
            }
        }
    }
}
