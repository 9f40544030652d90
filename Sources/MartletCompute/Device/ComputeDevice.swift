// SPDX-License-Identifier: Apache-2.0

/// A weight in a device's own layout.
package protocol DeviceWeight: AnyObject, Sendable {
    /// Bytes it occupies there.
    var byteCount: Int { get }
}

/// The paged KV cache of all layers, in a device's own layout.
package protocol KeyValueCache: AnyObject, Sendable {
    var shape: CacheShape { get }
}

/// A program made ready to run on one device, in one of the runtime modes.
package protocol ExecutionGraph: AnyObject {}

/// The memory that the graphs of one engine share: activations by name.
package protocol Workspace: AnyObject {
    var capacity: BatchCapacity { get }

    /// Copies rows of an activation in, from its first row on. For tests and measurements.
    func write(_ values: [Float], to tensor: Tensor) throws
    /// Copies the first rows of an activation out.
    func read(_ tensor: Tensor, rows: Int) throws -> [Float]
}

/// What a program's names stand for.
package struct ProgramBindings {
    package let weights: [String: any DeviceWeight]
    package let cache: any KeyValueCache
    package let workspace: any Workspace

    package init(weights: [String: any DeviceWeight], cache: any KeyValueCache, workspace: any Workspace) {
        self.weights = weights
        self.cache = cache
        self.workspace = workspace
    }
}

/// The seam between engine and hardware. Models know no device and devices know no model.
///
/// One engine thread packs, compiles and submits; a device brings its own parallelism.
package protocol ComputeDevice: AnyObject, Sendable {
    /// For people: kind and instruction set.
    var name: String { get }
    /// Bytes that can still be allocated there; nil where that isn't known.
    var freeMemory: Int? { get }

    /// Says what of the programs or of the cache's shape it can't do. Asked before weights are packed, which may take
    /// minutes.
    func check(_ programs: DecoderPrograms, cache: CacheShape) throws

    /// Copies a weight into the layout that the device wants for its use.
    func pack(_ tensor: HostTensor, for use: WeightUse) throws -> any DeviceWeight

    /// What a cache keeps here unless something else is asked for.
    var defaultCacheFormat: CacheFormat { get }
    /// Bytes that a cache of this shape takes here.
    func byteCount(of shape: CacheShape) throws -> Int
    func allocateCache(_ shape: CacheShape) throws -> any KeyValueCache
    /// Has memory behind these blocks of a cache, where the system would otherwise find it when they are first written to;
    /// by default nothing. What they hold stays.
    func populate(_ cache: any KeyValueCache, blocks: Range<Int>)
    func makeWorkspace(_ capacity: BatchCapacity) throws -> any Workspace
    /// Memory for a batch that will be submitted here; plain memory of the host unless the device has better.
    func makeBatchMemory(byteCount: Int) throws -> any BatchMemory

    /// How attention over these heads is best cut.
    func attentionGeometry(for heads: AttentionHeads) -> AttentionGeometry

    /// Which batches' attention can be inside of a graph here.
    var attentionGraphSupport: AttentionGraphSupport { get }
    /// Whether a graph is captured for a number of rows that batches are padded to. Otherwise one graph runs every
    /// batch up to what it was captured for, and nothing is padded.
    var capturesBySize: Bool { get }

    /// Makes a program ready.
    ///
    /// No batch is at hand here: kernels read tokens, sequences and work items from the batch's buffers when they run,
    /// so what was captured on one mix of prefills and decodes is right for every other.
    ///
    /// - Parameters:
    ///   - mode: `full` lowers all of it now, `piecewise` all but attention, `none` only checks that it can be lowered.
    ///   - extent: the largest batch it will run.
    func compile(
        _ program: Program, bindings: ProgramBindings, mode: GraphRuntimeMode, extent: GraphExtent
    ) throws -> any ExecutionGraph

    /// Whether `submit` returns while the graphs run, so that the host has time to plan the next step. An engine then writes
    /// that step into a second batch meanwhile.
    var runsAsynchronously: Bool { get }

    /// Runs graphs one after the other over what `batch` holds now. Neither may the batch change nor anything else be
    /// submitted before the completion.
    func submit(_ graphs: [any ExecutionGraph], batch: BatchBuffers) throws -> Completion
}

extension ComputeDevice {
    package func makeBatchMemory(byteCount: Int) throws -> any BatchMemory { try HostBatchMemory(byteCount: byteCount) }

    package var runsAsynchronously: Bool { false }

    /// Nothing: memory is there when it was allocated.
    package func populate(_ cache: any KeyValueCache, blocks: Range<Int>) {}
}

/// A submitted graph. Devices that run before they return hand out `.finished`.
package struct Completion: Sendable {
    private let body: @Sendable () throws(DeviceError) -> Void

    package init(wait body: @escaping @Sendable () throws(DeviceError) -> Void) { self.body = body }

    package static let finished = Completion {}

    /// Returns once the results are in the batch.
    ///
    /// - Throws: what became of the submission instead; `DeviceError.Code.lost` where nothing can be submitted any more.
    package func wait() throws(DeviceError) { try body() }
}

/// Something a device can't do, or can't do any more.
package struct DeviceError: Error, CustomStringConvertible, Sendable {
    package struct Code: Hashable, Sendable {
        private enum Name { case unsupported, outOfMemory, failed, lost }
        private let name: Name

        package static let unsupported = Code(name: .unsupported)
        package static let outOfMemory = Code(name: .outOfMemory)
        /// This submission could not be computed; others may be.
        package static let failed = Code(name: .failed)
        /// The device computes nothing any more, and what it held is gone.
        package static let lost = Code(name: .lost)
    }

    package let code: Code
    package let message: String

    package init(code: Code, message: String) {
        self.code = code
        self.message = message
    }

    package var description: String { message }
}
