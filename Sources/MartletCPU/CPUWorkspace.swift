// SPDX-License-Identifier: Apache-2.0

import CMartletKernels
import MartletCompute

/// The activations of one engine's programs: each tensor once, and beside it its copies in the types that the linear
/// kernels read.
final class CPUWorkspace: Workspace {
    let capacity: BatchCapacity
    let activations: ActivationPrecision
    private var tensors: [String: (tensor: Tensor, memory: DeviceMemory)] = [:]
    private var quantized: [String: DeviceMemory] = [:]
    private var rounded: [String: DeviceMemory] = [:]
    private var partialMemory: [Int: DeviceMemory] = [:]
    private var samplers: [Int: [Sampler]] = [:]

    init(_ capacity: BatchCapacity, activations: ActivationPrecision) {
        self.capacity = capacity
        self.activations = activations
    }

    func rowCapacity(_ extent: RowExtent) -> Int {
        switch extent {
        case .tokens: capacity.tokens
        case .logitRows: capacity.logitRows
        }
    }

    func rows(of tensor: Tensor) throws(DeviceError) -> TensorRows {
        if let found = tensors[tensor.name] {
            precondition(found.tensor == tensor, "\(tensor.name) is used with two shapes")
            return TensorRows(base: found.memory.pointer(), columns: tensor.columns)
        }
        let memory = try DeviceMemory(byteCount: rowCapacity(tensor.rows) * tensor.columns * 4)
        tensors[tensor.name] = (tensor, memory)
        return TensorRows(base: memory.pointer(), columns: tensor.columns)
    }

    /// The tensor's quantised copy, written row by row by `QuantizeRows`.
    func quantizedRows(of tensor: Tensor) throws(DeviceError) -> MartletQuantizedRows {
        let blocks = tensor.columns / Int(MARTLET_BLOCK_LENGTH)
        let count = rowCapacity(tensor.rows) * blocks
        // Per block: one or two planes of 32 bytes, then three words.
        let planes = activations == .int16 ? 2 : 1
        let memory: DeviceMemory
        if let found = quantized[tensor.name] {
            memory = found
        } else {
            memory = try DeviceMemory(byteCount: count * (planes * 32 + 3 * 4))
            quantized[tensor.name] = memory
        }
        let words = count * planes * 32
        return MartletQuantizedRows(
            high: memory.pointer(), low: planes == 2 ? memory.pointer(at: count * 32) : nil,
            scales: memory.pointer(at: words), scaledSums: memory.pointer(at: words + count * 4),
            offsets: memory.pointer(at: words + count * 8), blocks: Int64(blocks))
    }

    /// The tensor's bf16 copy, columns padded to an even number, written row by row by `RoundRows`.
    func roundedRows(of tensor: Tensor) throws(DeviceError) -> UnsafeMutablePointer<UInt16> {
        if let found = rounded[tensor.name] { return found.pointer() }
        let columns = tensor.columns + tensor.columns % 2
        let memory = try DeviceMemory(byteCount: rowCapacity(tensor.rows) * columns * 2)
        rounded[tensor.name] = memory
        return memory.pointer()
    }

    /// Room for the capacity's partials, of so many floats each. Layers of one size share it.
    func partials(floats: Int) throws(DeviceError) -> UnsafeMutablePointer<Float> {
        if let found = partialMemory[floats] { return found.pointer() }
        let (count, overflow) = capacity.partials.multipliedReportingOverflow(by: floats * 4)
        guard !overflow else { throw DeviceError(code: .outOfMemory, message: "too many partials to address") }
        let memory = try DeviceMemory(byteCount: count)
        partialMemory[floats] = memory
        return memory.pointer()
    }

    /// One a thread, for logits of so many columns. Kernels and threads are the device's, so always the same.
    func samplers(
        kernels: MartletKernelTable, vocabularySize: Int, count: Int
    ) throws(DeviceError) -> [Sampler] {
        if let found = samplers[vocabularySize] { return found }
        var made: [Sampler] = []
        for _ in 0..<count { made.append(try Sampler(kernels: kernels, vocabularySize: vocabularySize)) }
        samplers[vocabularySize] = made
        return made
    }

    func write(_ values: [Float], to tensor: Tensor) throws {
        precondition(values.count <= rowCapacity(tensor.rows) * tensor.columns, "more rows than the workspace holds")
        try rows(of: tensor).base.update(from: values, count: values.count)
    }

    func read(_ tensor: Tensor, rows count: Int) throws -> [Float] {
        precondition(count <= rowCapacity(tensor.rows), "more rows than the workspace holds")
        return Array(UnsafeBufferPointer(start: try rows(of: tensor).base, count: count * tensor.columns))
    }
}

/// A tensor's memory, `[rows, columns]`.
struct TensorRows {
    let base: UnsafeMutablePointer<Float>
    let columns: Int

    func row(_ index: Int) -> UnsafeMutablePointer<Float> { base + index * columns }
}
