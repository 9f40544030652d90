// SPDX-License-Identifier: Apache-2.0

package import MartletCompute

/// A device of the tests that leaves to another one what it doesn't do itself.
package protocol ForwardingDevice: ComputeDevice {
    associatedtype Device: ComputeDevice
    var device: Device { get }
}

extension ForwardingDevice {
    package var name: String { device.name }
    package var freeMemory: Int? { device.freeMemory }
    package func check(_ programs: DecoderPrograms, cache: CacheShape) throws {
        try device.check(programs, cache: cache)
    }
    package func pack(_ tensor: HostTensor, for use: WeightUse) throws -> any DeviceWeight {
        try device.pack(tensor, for: use)
    }
    package var defaultCacheFormat: CacheFormat { device.defaultCacheFormat }
    package func byteCount(of shape: CacheShape) throws -> Int { try device.byteCount(of: shape) }
    package func allocateCache(_ shape: CacheShape) throws -> any KeyValueCache { try device.allocateCache(shape) }
    package func populate(_ cache: any KeyValueCache, blocks: Range<Int>) { device.populate(cache, blocks: blocks) }
    package func makeWorkspace(_ capacity: BatchCapacity) throws -> any Workspace { try device.makeWorkspace(capacity) }
    package func attentionGeometry(for heads: AttentionHeads) -> AttentionGeometry {
        device.attentionGeometry(for: heads)
    }
    package var attentionGraphSupport: AttentionGraphSupport { device.attentionGraphSupport }
    package var capturesBySize: Bool { device.capturesBySize }
    package var runsAsynchronously: Bool { device.runsAsynchronously }
    package func makeBatchMemory(byteCount: Int) throws -> any BatchMemory {
        try device.makeBatchMemory(byteCount: byteCount)
    }

    package func compile(
        _ program: Program, bindings: ProgramBindings, mode: GraphRuntimeMode, extent: GraphExtent
    ) throws -> any ExecutionGraph {
        try device.compile(program, bindings: bindings, mode: mode, extent: extent)
    }

    package func submit(_ graphs: [any ExecutionGraph], batch: BatchBuffers) throws -> Completion {
        try device.submit(graphs, batch: batch)
    }
}
