// SPDX-License-Identifier: Apache-2.0

package import CMartletKernels
package import MartletCompute

/// The activations of one engine's programs: each tensor once, and beside it its copies in the forms that the linear
/// kernels read. What is only read in such a form may have that alone.
package final class CPUWorkspace: Workspace {
    package let capacity: BatchCapacity
    let activations: ActivationPrecision
    private var tensors: [String: (tensor: Tensor, memory: AlignedMemory)] = [:]
    private struct LinearInputKey: Hashable {
        let tensor: String
        let form: MartletActivations
    }
    private var linearInputs: [LinearInputKey: (tensor: Tensor, memory: AlignedMemory)] = [:]
    private var partialMemory: [Int: AlignedMemory] = [:]
    private var samplers: [Int: [Sampler]] = [:]
    private var summaryMemory: [String: AlignedMemory] = [:]
    private var threadMemory: [Int: AlignedMemory] = [:]
    private struct AssignmentKey: Hashable {
        let expertCount: Int
        let chosen: Int
        let extent: RowExtent
    }
    private var assignments: [AssignmentKey: ExpertAssignment] = [:]
    private var nearAngles: [[Double]: [RotaryAngleRows.Angle]] = [:]

    package init(_ capacity: BatchCapacity, activations: ActivationPrecision) {
        self.capacity = capacity
        self.activations = activations
    }

    func rowCapacity(_ extent: RowExtent) -> Int {
        switch extent {
        case .tokens: capacity.tokens
        case .logitRows: capacity.logitRows
        }
    }

    /// - Parameter rows: how many there are, where they aren't those of the tensor's extent.
    package func rows(of tensor: Tensor, rows: Int? = nil) throws(DeviceError) -> TensorRows {
        if let found = tensors[tensor.name] {
            precondition(found.tensor == tensor, "\(tensor.name) is used with two shapes")
            return TensorRows(base: found.memory.pointer(), columns: tensor.columns)
        }
        let memory = try AlignedMemory(byteCount: (rows ?? rowCapacity(tensor.rows)) * tensor.columns * 4)
        tensors[tensor.name] = (tensor, memory)
        return TensorRows(base: memory.pointer(), columns: tensor.columns)
    }

    /// The tensor's copy in the form that linear layers read, written row by row.
    package func linearInput(
        of tensor: Tensor, in form: MartletActivations, rows: Int? = nil
    ) throws(DeviceError) -> MartletLinearInput {
        let key = LinearInputKey(tensor: tensor.name, form: form)
        let memory: AlignedMemory
        if let found = linearInputs[key] {
            precondition(found.tensor == tensor, "\(tensor.name) is used with two shapes")
            memory = found.memory
        } else {
            let groupRows = Int(MARTLET_ROW_GROUP)
            let groups = ((rows ?? rowCapacity(tensor.rows)) + groupRows - 1) / groupRows
            let records = Int(martlet_records(form, Int64(tensor.columns)))
            memory = try AlignedMemory(byteCount: groups * records * Int(martlet_record_bytes(form)))
            linearInputs[key] = (tensor, memory)
        }
        return MartletLinearInput(base: memory.pointer(), columns: Int64(tensor.columns), format: form)
    }

    /// Room for the capacity's partials, of `floats` each. Layers of one size share it.
    package func partials(floats: Int) throws(DeviceError) -> UnsafeMutablePointer<Float> {
        if let found = partialMemory[floats] { return found.pointer() }
        let (count, overflow) = capacity.partials.multipliedReportingOverflow(by: floats * 4)
        guard !overflow else { throw DeviceError(code: .outOfMemory, message: "too many partials to address") }
        let memory = try AlignedMemory(byteCount: count)
        partialMemory[floats] = memory
        return memory.pointer()
    }

    /// Room for what threads make for themselves and read at once. Whatever takes as much shares it.
    func memoryOfThreads(byteCount: Int) throws(DeviceError) -> AlignedMemory {
        if let found = threadMemory[byteCount] { return found }
        let memory = try AlignedMemory(byteCount: byteCount)
        threadMemory[byteCount] = memory
        return memory
    }

    /// Room for what rows of logits come to, slice by slice.
    package func summaries(of logits: Tensor) throws(DeviceError) -> UnsafeMutablePointer<LogitSummary> {
        if let found = summaryMemory[logits.name] { return found.pointer() }
        let count = rowCapacity(logits.rows) * LogitSummary.sliceCount(vocabularySize: logits.columns)
        let memory = try AlignedMemory(byteCount: count * MemoryLayout<LogitSummary>.stride)
        summaryMemory[logits.name] = memory
        return memory.pointer()
    }

    /// What rotary angles are made of, kept because a kernel that is lowered at each step would compute it anew.
    package func nearAngles(_ inverseFrequencies: [Double]) -> [RotaryAngleRows.Angle] {
        if let found = nearAngles[inverseFrequencies] { return found }
        let angles = RotaryAngleRows.nearAngles(inverseFrequencies)
        nearAngles[inverseFrequencies] = angles
        return angles
    }

    /// Shared by all layers that choose `chosen` of `expertCount` experts.
    func assignment(expertCount: Int, chosen: Int, extent: RowExtent) -> ExpertAssignment {
        let key = AssignmentKey(expertCount: expertCount, chosen: chosen, extent: extent)
        if let found = assignments[key] { return found }
        let made = ExpertAssignment(
            expertCount: expertCount, chosen: chosen, extent: extent, rows: rowCapacity(extent))
        assignments[key] = made
        return made
    }

    /// One per thread, for logits of `vocabularySize` columns. Kernels and threads are the device's, so always the same.
    func samplers(
        kernels: MartletKernelTable, vocabularySize: Int, count: Int
    ) throws(DeviceError) -> [Sampler] {
        if let found = samplers[vocabularySize] { return found }
        var made: [Sampler] = []
        for _ in 0..<count { made.append(try Sampler(kernels: kernels, vocabularySize: vocabularySize)) }
        samplers[vocabularySize] = made
        return made
    }

    package func write(_ values: [Float], to tensor: Tensor) throws {
        precondition(values.count <= rowCapacity(tensor.rows) * tensor.columns, "more rows than the workspace holds")
        try rows(of: tensor).base.update(from: values, count: values.count)
    }

    package func read(_ tensor: Tensor, rows count: Int) throws -> [Float] {
        precondition(count <= rowCapacity(tensor.rows), "more rows than the workspace holds")
        return Array(UnsafeBufferPointer(start: try rows(of: tensor).base, count: count * tensor.columns))
    }
}

/// A tensor's memory, `[rows, columns]`.
package struct TensorRows {
    let base: UnsafeMutablePointer<Float>
    let columns: Int

    package func row(_ index: Int) -> UnsafeMutablePointer<Float> { base + index * columns }
}
