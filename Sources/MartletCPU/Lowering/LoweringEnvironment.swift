// SPDX-License-Identifier: Apache-2.0

import CMartletKernels
import MartletCompute

/// What kernels are lowered for: the device's traits, and the memory that a program's names stand for.
struct LoweringEnvironment: LoweringTraits {
    let kernels: MartletKernelTable
    let threadCount: Int
    let attentionSegmentLength: Int
    let weights: [String: any DeviceWeight]
    let workspace: CPUWorkspace
    let cache: CPUKeyValueCache
    let trace: TraceRecorder?

    init(
        _ bindings: ProgramBindings, kernels: MartletKernelTable, threadCount: Int, attentionSegmentLength: Int,
        trace: TraceRecorder?
    ) {
        guard let workspace = bindings.workspace as? CPUWorkspace, let cache = bindings.cache as? CPUKeyValueCache
        else { preconditionFailure("workspace and cache come from the device that compiles") }
        self.kernels = kernels
        self.threadCount = threadCount
        self.attentionSegmentLength = attentionSegmentLength
        self.trace = trace
        self.workspace = workspace
        self.cache = cache
        weights = bindings.weights
    }

    func panel(_ weight: Weight) -> PanelWeight {
        guard let packed = weights[weight.name] as? PanelWeight, packed.count == weight.count,
            packed.outputs == weight.rows, packed.inputs == weight.columns
        else { preconditionFailure("\(weight.name) was not packed, or with another shape") }
        return packed
    }

    func vector(_ weight: Weight) -> UnsafePointer<Float> {
        guard let vector = weights[weight.name] as? VectorWeight,
            vector.count == weight.count * weight.rows * weight.columns
        else { preconditionFailure("\(weight.name) was not packed as a vector, or with another length") }
        return UnsafePointer(vector.memory.pointer())
    }

    func inputForm(of weight: Weight) -> MartletActivations { panel(weight).format.activations(workspace.activations) }

    func panelBytes(of weight: Weight) -> Int { panel(weight).panelBytes }
}
