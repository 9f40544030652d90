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
        let needed: [Weight] =
            switch kernel {
            case .embed(let table, _): [table]
            case .norm(_, let weight, _, _): [weight]
            case .linear(let linear): linear.weights + linear.biases
            case .attention(_, _, let parameters, _): parameters.sinks.map { [$0] } ?? []
            case .rotaryAngles, .rotaryAndCacheWrite, .gatedActivation, .gatherRows, .sample: []
            }
        for weight in needed {
            guard let found = weights[weight.name], found.rows == weight.rows, found.columns == weight.columns else {
                throw DeviceError(
                    code: .unsupported,
                    message: "there is no weight \(weight.name) of \(weight.rows) rows and \(weight.columns) columns")
            }
        }
    }

    func run(_ kernel: Kernel, _ batch: BatchBuffers) {
        switch kernel {
        case .embed(let table, let output): embed(weight(table), workspace.activation(output), batch)
        case .rotaryAngles(let frequencies, let output): rotaryAngles(frequencies, workspace.activation(output), batch)
        case .norm(let input, let norm, let epsilon, let output):
            for row in rows(of: input, batch) {
                workspace.activation(output)[row] = Self.norm(
                    workspace.activation(input)[row], weight(norm).numbers, epsilon: Double(epsilon))
            }
        case .linear(let kernel): linear(kernel, batch)
        case .rotaryAndCacheWrite(let queryKeyValue, let angles, let parameters, let layer):
            rotaryAndCacheWrite(
                workspace.activation(queryKeyValue), workspace.activation(angles), parameters, layer: layer, batch)
        case .attention(let queryKeyValue, let output, let parameters, let layer):
            attention(
                workspace.activation(queryKeyValue), workspace.activation(output), parameters, layer: layer, batch)
        case .gatedActivation(let input, let output, let activation):
            for row in rows(of: input, batch) {
                workspace.activation(output)[row] = Self.gate(workspace.activation(input)[row], activation)
            }
        case .gatherRows(let input, let output):
            for row in 0..<batch.logitRowCount {
                workspace.activation(output)[row] = workspace.activation(input)[Int(batch.logitRows[row])]
            }
        case .sample(let logits): sample(workspace.activation(logits), batch)
        }
    }

    private func rows(of tensor: Tensor, _ batch: BatchBuffers) -> Range<Int> {
        0..<(tensor.rows == .tokens ? batch.tokenCount : batch.logitRowCount)
    }

    private func weight(_ weight: Weight) -> ReferenceWeight {
        guard let found = weights[weight.name] else { preconditionFailure("\(weight.name) was checked before") }
        return found
    }

    // MARK: Rows

    private func embed(_ table: ReferenceWeight, _ output: ReferenceWorkspace.Activation, _ batch: BatchBuffers) {
        for row in 0..<batch.tokenCount {
            let start = Int(batch.tokenIDs[row]) * table.columns
            output[row] = table.numbers[start..<start + table.columns].map(Double.init)
        }
    }

    /// `[cos | sin]`
    private func rotaryAngles(
        _ frequencies: [Double], _ output: ReferenceWorkspace.Activation, _ batch: BatchBuffers
    ) {
        for row in 0..<batch.tokenCount {
            let angles = frequencies.map { Double(batch.positions[row]) * $0 }
            output[row] = angles.map { cos($0) } + angles.map { sin($0) }
        }
    }

    static func norm(_ input: [Double], _ weight: [Float], epsilon: Double) -> [Double] {
        let meanSquare = input.reduce(0) { $0 + $1 * $1 } / Double(input.count)
        let factor = 1 / (meanSquare + epsilon).squareRoot()
        return zip(input, weight).map { $0 * factor * Double($1) }
    }

    /// A row `[gate | up]`.
    static func gate(_ input: [Double], _ activation: Activation) -> [Double] {
        let half = input.count / 2
        return (0..<half).map { column in
            let gate = input[column]
            return switch activation {
            case .silu: gate / (1 + exp(-gate)) * input[half + column]
            }
        }
    }

    private func linear(_ kernel: LinearKernel, _ batch: BatchBuffers) {
        let (input, output) = (workspace.activation(kernel.input), workspace.activation(kernel.output))
        let biases = kernel.biases.flatMap { weight($0).numbers }
        for row in rows(of: kernel.input, batch) {
            var result = kernel.weights.flatMap { Self.product(weight($0), input[row]) }
            for column in biases.indices { result[column] += Double(biases[column]) }
            if kernel.accumulates { result = zip(result, output[row]).map { $0 + $1 } }
            output[row] = result
        }
    }

    /// `input . weights^T`
    static func product(_ weights: ReferenceWeight, _ input: [Double]) -> [Double] {
        weights.numbers.withUnsafeBufferPointer { numbers in
            input.withUnsafeBufferPointer { input in
                (0..<weights.rows).map { output in
                    let start = output * weights.columns
                    var sum = 0.0
                    for column in 0..<weights.columns { sum += Double(numbers[start + column]) * input[column] }
                    return sum
                }
            }
        }
    }

    // MARK: Heads

    /// Turns pairs of neighbours by a row's `[cos | sin]`, as many as those are; the rest stays.
    static func rotate(_ head: ArraySlice<Double>, _ angles: [Double]) -> [Double] {
        var result = Array(head)
        let pairs = angles.count / 2
        for pair in 0..<pairs {
            let (a, b) = (result[2 * pair], result[2 * pair + 1])
            result[2 * pair] = a * angles[pair] - b * angles[pairs + pair]
            result[2 * pair + 1] = a * angles[pairs + pair] + b * angles[pair]
        }
        return result
    }

    private func rotaryAndCacheWrite(
        _ queryKeyValue: ReferenceWorkspace.Activation, _ angles: ReferenceWorkspace.Activation,
        _ parameters: AttentionParameters, layer: Int, _ batch: BatchBuffers
    ) {
        let (heads, size) = (parameters.heads, parameters.heads.headSize)
        for row in 0..<batch.tokenCount {
            var numbers = queryKeyValue[row]
            for head in 0..<heads.queryHeads + heads.keyValueHeads {
                numbers.replaceSubrange(
                    head * size..<(head + 1) * size,
                    with: Self.rotate(numbers[head * size..<(head + 1) * size], angles[row]))
            }
            queryKeyValue[row] = numbers
            let slot = Int(batch.slotMapping[row])
            guard slot >= 0 else { continue }
            for head in 0..<heads.keyValueHeads {
                func part(_ first: Int) -> [Float] {
                    numbers[(first + head) * size..<(first + head + 1) * size].map { Float($0) }
                }
                cache.write(
                    key: kept(part(heads.queryHeads), scale: parameters.keyScale, largest: Int16Head.largestOfKey),
                    value: kept(
                        part(heads.queryHeads + heads.keyValueHeads), scale: parameters.valueScale,
                        largest: Int16Head.largestOfValue), layer: layer, slot: slot, head: head)
            }
        }
    }

    /// What the cache keeps of a head's numbers; of 8-bit formats the codes' own numbers, without their scale.
    private func kept(_ numbers: [Float], scale: Float, largest: Float) -> [Float] {
        switch cache.layout.format {
        case .int16: Int16Head(rounding: numbers, largest: largest).numbers
        case .float(let format) where format.isEightBit: numbers.map { format.round($0 / scale) }
        case .float(let format): numbers.map { format.round($0) }
        }
    }
}
