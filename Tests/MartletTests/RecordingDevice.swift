// SPDX-License-Identifier: Apache-2.0

import Martlet
import MartletCPU
import MartletCompute
import MartletTestSupport
import Synchronization

/// A device like a GPU: it captures by size, computes padding rows too, and writes down what it is asked. The CPU does
/// the arithmetic.
final class RecordingDevice: ForwardingDevice {
    struct Traits: Sendable {
        var attentionGraphSupport = AttentionGraphSupport.always
        var capturesBySize = true
        /// What it has no memory for.
        var refuses: @Sendable (GraphKey, _ program: String) -> Bool = { _, _ in false }
        /// The pull request's defect B: launches are never larger than they were when a graph first ran.
        var freezesLaunches = false
    }

    final class Graph: ExecutionGraph {
        let key: GraphKey
        let program: String
        fileprivate let graph: any ExecutionGraph
        fileprivate var frozen: (prefills: Int, decodes: Int, merges: Int)?

        fileprivate init(key: GraphKey, program: String, graph: any ExecutionGraph) {
            self.key = key
            self.program = program
            self.graph = graph
        }
    }

    /// One graph's run.
    struct Run: Equatable {
        var program: String
        var key: GraphKey
        /// Rows of the program that the step has.
        var rows: Int
        /// Whether all rows from there to the graph's are padding as they should be.
        var isPadded: Bool
        var prefills: Int
        var decodes: Int
    }

    struct Record {
        var captured: [(key: GraphKey, program: String)] = []
        /// By submission.
        var runs: [[Run]] = []
    }

    let device: CPUDevice
    private let traits: Traits
    private let recorded = Mutex(Record())

    init(_ traits: Traits = Traits(), threads: Int = 1) throws {
        device = try CPUDevice(threads: threads)
        self.traits = traits
    }

    var record: Record { recorded.withLock { $0 } }

    var name: String { "recording device" }
    var attentionGraphSupport: AttentionGraphSupport { traits.attentionGraphSupport }
    var capturesBySize: Bool { traits.capturesBySize }

    func compile(
        _ program: Program, bindings: ProgramBindings, mode: GraphRuntimeMode, extent: GraphExtent
    ) throws -> any ExecutionGraph {
        let key = GraphKey(mode: mode, extent: extent)
        if traits.refuses(key, program.name) { throw DeviceError(code: .outOfMemory, message: "no memory") }
        if mode != .none { recorded.withLock { $0.captured.append((key, program.name)) } }
        return Graph(
            key: key, program: program.name,
            graph: try device.compile(program, bindings: bindings, mode: mode, extent: extent))
    }

    func submit(_ graphs: [any ExecutionGraph], batch: BatchBuffers) throws -> Completion {
        let graphs = graphs.compactMap { $0 as? Graph }
        recorded.withLock { $0.runs.append(graphs.map { run(of: $0, batch) }) }
        let (tokens, logitRows, plan) = (batch.tokenCount, batch.logitRowCount, batch.plans[0].counts)
        for graph in graphs {
            if traits.capturesBySize, graph.key.mode != .none {
                if graph.program == "head" {
                    batch.logitRowCount = graph.key.extent.rows
                } else {
                    batch.tokenCount = graph.key.extent.rows
                }
            }
            if traits.freezesLaunches, graph.program == "body", graph.key.mode == .full {
                let frozen = graph.frozen ?? (Int(plan.prefills), Int(plan.decodes), Int(plan.merges))
                graph.frozen = frozen
                batch.plans[0].prefillCount = min(Int(plan.prefills), frozen.prefills)
                batch.plans[0].decodeCount = min(Int(plan.decodes), frozen.decodes)
                batch.plans[0].mergeCount = min(Int(plan.merges), frozen.merges)
            }
            try device.submit([graph.graph], batch: batch).wait()
            (batch.tokenCount, batch.logitRowCount, batch.plans[0].counts) = (tokens, logitRows, plan)
        }
        return .finished
    }

    private func run(of graph: Graph, _ batch: BatchBuffers) -> Run {
        let isHead = graph.program == "head"
        let rows = isHead ? batch.logitRowCount : batch.tokenCount
        var isPadded = true
        if traits.capturesBySize, graph.key.mode != .none {
            let padding = rows..<max(rows, graph.key.extent.rows)
            isPadded =
                isHead
                ? batch.paddedLogitRowCount == graph.key.extent.rows
                    && padding.allSatisfy { batch.logitRows[$0] == 0 }
                : batch.paddedTokenCount == graph.key.extent.rows
                    && Int(batch.queryStartLocations[batch.sequenceCount]) == rows
                    && padding.allSatisfy {
                        batch.tokenIDs[$0] == 0 && batch.positions[$0] == 0 && batch.slotMapping[$0] == -1
                    }
        }
        return Run(
            program: graph.program, key: graph.key, rows: rows, isPadded: isPadded,
            prefills: batch.plans[0].prefillCount,
            decodes: batch.plans[0].decodeCount)
    }
}
