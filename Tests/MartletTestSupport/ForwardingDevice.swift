// SPDX-License-Identifier: Apache-2.0

public import MartletCompute

/// A device of the tests that leaves to another one what it doesn't do itself.
public protocol ForwardingDevice: ComputeDevice {
    associatedtype Device: ComputeDevice
    var device: Device { get }
}

extension ForwardingDevice {
    public var name: String { device.name }
    public var freeMemory: Int? { device.freeMemory }
    public func check(_ programs: DecoderPrograms, cache: CacheShape) throws {
        try device.check(programs, cache: cache)
    }
    public func pack(_ tensor: HostTensor, for use: WeightUse) throws -> any DeviceWeight {
        try device.pack(tensor, for: use)
    }
    public var defaultCacheFormat: CacheFormat { device.defaultCacheFormat }
    public func byteCount(of shape: CacheShape) throws -> Int { try device.byteCount(of: shape) }
    public func allocateCache(_ shape: CacheShape) throws -> any KeyValueCache { try device.allocateCache(shape) }
    public func populate(_ cache: any KeyValueCache, blocks: Range<Int>) { device.populate(cache, blocks: blocks) }
    public func makeWorkspace(_ capacity: BatchCapacity) throws -> any Workspace { try device.makeWorkspace(capacity) }
    public func attentionGeometry(for heads: AttentionHeads) -> AttentionGeometry {
        device.attentionGeometry(for: heads)
    }
    public var attentionGraphSupport: AttentionGraphSupport { device.attentionGraphSupport }
    public var capturesBySize: Bool { device.capturesBySize }
    public var runsAsynchronously: Bool { device.runsAsynchronously }
    public func makeBatchMemory(byteCount: Int) throws -> any BatchMemory {
        try device.makeBatchMemory(byteCount: byteCount)
    }

    public func compile(
        _ program: Program, bindings: ProgramBindings, mode: GraphRuntimeMode, extent: GraphExtent
    ) throws -> any ExecutionGraph {
        try device.compile(program, bindings: bindings, mode: mode, extent: extent)
    }

    public func submit(_ graphs: [any ExecutionGraph], batch: BatchBuffers) throws -> Completion {
        try device.submit(graphs, batch: batch)
    }
}
