// SPDX-License-Identifier: Apache-2.0

import Glibc
package import MartletCompute

/// A device in plain Swift: one function for each `Kernel` case, one thread, f64 wherever rounding isn't the point.
///
/// It is what other devices are held against, and what to read to learn what a kernel computes. It is slow: it
/// reads a prompt at about a fiftieth of the CPU device's speed.
package final class ReferenceDevice: ComputeDevice {
    package init() {}

    package var name: String { "reference (plain Swift, 1 thread)" }

    package var freeMemory: Int? {
        let (pages, bytes) = (sysconf(Int32(_SC_AVPHYS_PAGES)), sysconf(Int32(_SC_PAGESIZE)))
        return pages > 0 && bytes > 0 ? pages * bytes : nil
    }

    /// It can do whatever can be said.
    package func check(_ programs: DecoderPrograms, cache: CacheShape) throws {
        _ = try ReferenceCache.byteCount(of: cache)
    }

    package func pack(_ tensor: HostTensor, for use: WeightUse) throws -> any DeviceWeight {
        ReferenceWeight(
            count: tensor.count, rows: tensor.rows, columns: tensor.columns, numbers: tensor.dequantized())
    }

    package var defaultCacheFormat: CacheFormat { .float(.float32) }
    package func byteCount(of shape: CacheShape) throws -> Int { try ReferenceCache.byteCount(of: shape) }
    package func allocateCache(_ shape: CacheShape) throws -> any KeyValueCache { try ReferenceCache(shape) }
    package func makeWorkspace(_ capacity: BatchCapacity) throws -> any Workspace {
        ReferenceWorkspace(capacity: capacity)
    }

    /// Attention is computed row by row here, whatever the plan says. These numbers make other plans than a CPU's.
    package func attentionGeometry(for heads: AttentionHeads) -> AttentionGeometry {
        AttentionGeometry(segmentLength: 64, tokensPerTile: 7, parallelism: 3)
    }

    package var attentionGraphSupport: AttentionGraphSupport { .always }
    package var capturesBySize: Bool { false }

    /// Every mode runs kernel by kernel: there is nothing to capture.
    package func compile(
        _ program: Program, bindings: ProgramBindings, mode: GraphRuntimeMode, extent: GraphExtent
    ) throws -> any ExecutionGraph {
        guard let cache = bindings.cache as? ReferenceCache, let workspace = bindings.workspace as? ReferenceWorkspace
        else { preconditionFailure("caches and workspaces are used on the device that made them") }
        var weights: [String: ReferenceWeight] = [:]
        for (name, weight) in bindings.weights {
            guard let weight = weight as? ReferenceWeight else {
                preconditionFailure("weights are used on the device that packed them")
            }
            weights[name] = weight
        }
        let kernels = ReferenceKernels(weights: weights, cache: cache, workspace: workspace)
        for kernel in program.kernels { try kernels.check(kernel) }
        return ReferenceGraph(program: program, kernels: kernels)
    }

    package func submit(_ graphs: [any ExecutionGraph], batch: BatchBuffers) throws -> Completion {
        for graph in graphs {
            guard let graph = graph as? ReferenceGraph else {
                preconditionFailure("graphs run on the device that compiled them")
            }
            for kernel in graph.program.kernels { graph.kernels.run(kernel, batch) }
        }
        return .finished
    }
}

/// A program and what its names stand for.
final class ReferenceGraph: ExecutionGraph {
    let program: Program
    let kernels: ReferenceKernels

    init(program: Program, kernels: ReferenceKernels) {
        self.program = program
        self.kernels = kernels
    }
}
