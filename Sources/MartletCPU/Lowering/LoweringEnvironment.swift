// SPDX-License-Identifier: Apache-2.0

import CMartletKernels
import MartletCompute

/// What kernels are lowered for: the device's traits, and the memory that a program's names stand for.
struct LoweringEnvironment {
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
}
