// SPDX-License-Identifier: Apache-2.0

import CMartletKernels
import FoundationEssentials
package import MartletCompute
import Synchronization

/// The CPU as a compute device: a pool of threads over one kernel table.
///
/// A token's bits depend on its own sequence and on the table, never on threads, batch or chunking.
package final class CPUDevice: ComputeDevice {
    package let instructionSet: InstructionSet
    package let threadCount: Int
    package let activations: ActivationPrecision
    let attentionSegmentLength: Int
    let kernels: MartletKernelTable
    let pool: WorkerPool
    private let trace: TraceRecorder?
    private let submission: Submission
    private let loweredKernels = Atomic<Int>(0)

    /// - Parameters:
    ///   - threads: nil for one a processor that this process may run on.
    ///   - instructionSet: must be one that this machine runs; nil for the best.
    ///   - attentionSegmentLength: keys in a segment, a multiple of 64: long enough that folding costs little, short
    ///     enough to deal out a context of a thousand. Bits depend on it.
    ///   - trace: what kernels do is recorded there, a lane a thread.
    package init(
        threads: Int? = nil, instructionSet: InstructionSet? = nil, activations: ActivationPrecision = .int8,
        attentionSegmentLength: Int = 512, trace: TraceRecorder? = nil
    ) throws(DeviceError) {
        precondition(attentionSegmentLength > 0 && attentionSegmentLength % Int(MARTLET_ATTENTION_TILE) == 0)
        precondition(CacheGroup.keysPerTile % Int(MARTLET_ATTENTION_TILE) == 0, "kernels read no block given back")
        let chosen = instructionSet ?? .best
        guard let kernels = chosen.kernels else {
            throw DeviceError(code: .unsupported, message: "this machine doesn't run \(chosen.rawValue)")
        }
        let threadCount = threads ?? Self.defaultThreadCount
        guard Self.threadCounts.contains(threadCount) else {
            let most = Self.threadCounts.upperBound
            throw DeviceError(code: .unsupported, message: "\(threadCount) threads: use 1 to \(most)")
        }
        self.instructionSet = chosen
        self.activations = activations
        self.attentionSegmentLength = attentionSegmentLength
        self.kernels = kernels
        self.threadCount = threadCount
        self.trace = trace
        pool = try WorkerPool(threadCount: threadCount)
        submission = Submission(threadCount: threadCount, trace: trace)
    }

    package var name: String { "CPU (\(instructionSet.rawValue), \(threadCount) thread\(threadCount == 1 ? "" : "s"))" }

    /// How many threads a device may have.
    package static let threadCounts = 1...1024

    /// A thread a processor.
    package static var defaultThreadCount: Int {
        min(ProcessInfo.processInfo.activeProcessorCount, threadCounts.upperBound)
    }

    /// Whether the kernels compute attention with heads of a size.
    package static func allows(headSize: Int) -> Bool {
        (8...Int(MARTLET_MAX_HEAD_SIZE)).contains(headSize) && headSize % 8 == 0
    }

    /// What `allows(headSize:)` demands, for people.
    package static let headSizeRule = "a multiple of 8 up to \(MARTLET_MAX_HEAD_SIZE)"

    package var freeMemory: Int? { FreeMemory.byteCount }

    package func check(_ programs: DecoderPrograms, cache: CacheShape) throws {
        _ = try CPUKeyValueCache.byteCount(of: cache)
        for kernel in programs.kernels {
            switch kernel {
            case .attention(let attention):
                try AttentionLayer.check(attention.parameters, cache, layer: attention.cacheLayer)
            case .rotaryAngles(let inverseFrequencies, _, _): try RotaryAngleRows.check(inverseFrequencies)
            default: break
            }
        }
    }

    package func pack(_ tensor: HostTensor, for use: WeightUse) throws -> any DeviceWeight {
        if use.roles.contains(.vector) { return try VectorWeight(tensor.dequantized()) }
        return try PanelWeight.pack(tensor, for: kernels, on: pool)
    }

    package var defaultCacheFormat: CacheFormat { instructionSet.defaultCacheFormat }

    package func byteCount(of shape: CacheShape) throws -> Int { try CPUKeyValueCache.byteCount(of: shape) }

    package func allocateCache(_ shape: CacheShape) throws -> any KeyValueCache { try CPUKeyValueCache(shape) }

    package func populate(_ cache: any KeyValueCache, blocks: Range<Int>) {
        guard let cache = cache as? CPUKeyValueCache else {
            preconditionFailure("caches are used on the device that allocated them")
        }
        pool.run(MemoryPopulation(of: cache.memory, bytes: cache.bytes(of: blocks)))
    }

    package func makeWorkspace(_ capacity: BatchCapacity) throws -> any Workspace {
        CPUWorkspace(capacity, activations: activations)
    }

    /// A tile's rows are tokens times the heads that share their keys.
    package func attentionGeometry(for heads: AttentionHeads) -> AttentionGeometry {
        AttentionGeometry(
            segmentLength: attentionSegmentLength, tokensPerTile: max(1, Int(MARTLET_ATTENTION_ROWS) / heads.groupSize),
            parallelism: threadCount, affinity: RowBanding(threadCount: threadCount))
    }

    /// Every kernel reads what it needs from the batch when it runs.
    package var attentionGraphSupport: AttentionGraphSupport { .always }

    /// Extents come from the batch, so rows that aren't there cost nothing.
    package var capturesBySize: Bool { false }

    package func compile(
        _ program: Program, bindings: ProgramBindings, mode: GraphRuntimeMode, extent: GraphExtent
    ) throws -> any ExecutionGraph {
        try CPUGraph(program, mode: mode, environment: environment(bindings))
    }

    func environment(_ bindings: ProgramBindings) -> LoweringEnvironment {
        LoweringEnvironment(
            bindings, kernels: kernels, threadCount: threadCount, attentionSegmentLength: attentionSegmentLength,
            trace: trace)
    }

    package func submit(_ graphs: [any ExecutionGraph], batch: BatchBuffers) throws -> Completion {
        defer { submission.removeAll() }
        for graph in graphs {
            guard let graph = graph as? CPUGraph else {
                preconditionFailure("graphs run on the device that compiled them")
            }
            for step in graph.steps {
                switch step {
                case .piece(let piece): submission.append(piece)
                case .kernel(let kernel):
                    submission.run(batch, on: pool)
                    submission.append(try GraphPiece(CollectionOfOne(kernel), in: graph.environment))
                    loweredKernels.wrappingAdd(1, ordering: .relaxed)
                    submission.run(batch, on: pool)
                }
            }
        }
        submission.run(batch, on: pool)
        return .finished
    }

    /// Jobs of the worker pool, one wake-up each, and kernels that were lowered while batches ran, since the start.
    package var counts: (wakeUps: Int, loweredKernels: Int) {
        (pool.jobCount, loweredKernels.load(ordering: .relaxed))
    }
}
