// SPDX-License-Identifier: Apache-2.0

public import MartletCompute
import Synchronization

/// Another device, until it is lost: from then on every submission fails, as a GPU's do after an error that sticks.
public final class LosableDevice: ComputeDevice {
    private let device: any ComputeDevice
    private let submissionsLeft: Atomic<Int>

    /// - Parameter submissions: how many succeed.
    public init(_ device: any ComputeDevice, submissions: Int) {
        self.device = device
        submissionsLeft = Atomic(submissions)
    }

    public var name: String { device.name }
    public var freeMemory: Int? { device.freeMemory }
    public func check(_ programs: DecoderPrograms, cache: CacheLayout) throws {
        try device.check(programs, cache: cache)
    }
    public func pack(_ tensor: HostTensor) throws -> any DeviceWeight { try device.pack(tensor) }
    public func upload(_ values: [Float]) throws -> any DeviceWeight { try device.upload(values) }
    public var defaultCacheFormat: CacheFormat { device.defaultCacheFormat }
    public func byteCount(of layout: CacheLayout) throws -> Int { try device.byteCount(of: layout) }
    public func allocateCache(_ layout: CacheLayout) throws -> any KeyValueCache { try device.allocateCache(layout) }
    public func populate(_ cache: any KeyValueCache, blocks: Range<Int>) { device.populate(cache, blocks: blocks) }
    public func makeWorkspace(_ capacity: BatchCapacity) throws -> any Workspace { try device.makeWorkspace(capacity) }
    public func attentionGeometry(for heads: AttentionHeads) -> AttentionGeometry {
        device.attentionGeometry(for: heads)
    }
    public var attentionGraphSupport: AttentionGraphSupport { device.attentionGraphSupport }
    public var capturesBySize: Bool { device.capturesBySize }

    public func compile(
        _ program: Program, bindings: ProgramBindings, mode: GraphRuntimeMode, extent: BatchDescriptor
    ) throws -> any ExecutionGraph {
        try device.compile(program, bindings: bindings, mode: mode, extent: extent)
    }

    public func submit(_ graphs: [any ExecutionGraph], batch: BatchBuffers) throws -> Completion {
        guard submissionsLeft.wrappingSubtract(1, ordering: .relaxed).newValue >= 0 else {
            // A device learns of it asynchronously.
            return Completion { () throws(DeviceError) in throw DeviceError(code: .lost, message: "it fell off the bus")
            }
        }
        return try device.submit(graphs, batch: batch)
    }
}
