// SPDX-License-Identifier: Apache-2.0

import Logging
import MartletCompute

/// Captures an engine's graphs, and picks those that run a step: of the graphs that were captured the smallest that
/// holds it, or none and every kernel by itself.
package final class GraphDispatcher {
    /// What runs a program of a step.
    package struct Dispatch {
        package let mode: GraphRuntimeMode
        let graph: any ExecutionGraph
        /// What the graph was captured for; nil where nothing needs to be padded.
        package let paddedRows: Int?
    }

    private struct Captured {
        let key: GraphKey
        let graph: any ExecutionGraph
    }

    /// By their extent, smallest first.
    private var uniformDecodes: [Captured] = []
    private var mixed: [Captured] = []
    private var heads: [Captured] = []
    private let eagerBody: any ExecutionGraph
    private let eagerHead: any ExecutionGraph
    private let capturesBySize: Bool

    /// Captures what the plan asks for. Steps of a graph that can't be captured run in the next larger one, or eagerly;
    /// a warning says so.
    ///
    /// - Throws: where the programs can't be run at all.
    package init(
        _ plan: CapturePlan, programs: DecoderPrograms, bindings: ProgramBindings, on device: any ComputeDevice,
        logger: Logger
    ) throws {
        capturesBySize = device.capturesBySize
        let capacity = bindings.workspace.capacity
        func eager(_ program: Program, rows: Int) throws -> any ExecutionGraph {
            try device.compile(
                program, bindings: bindings, mode: .none,
                extent: GraphExtent(rows: rows, sequences: capacity.sequences))
        }
        eagerBody = try eager(programs.body, rows: capacity.tokens)
        eagerHead = try eager(programs.head, rows: capacity.logitRows)
        // Largest first, so that smaller ones can use the memory of larger ones.
        func capture(_ keys: [GraphKey], _ program: Program) -> [Captured] {
            var captured: [Captured] = []
            for key in keys.sorted(by: { $0.extent.rows > $1.extent.rows }) {
                do {
                    let graph = try device.compile(program, bindings: bindings, mode: key.mode, extent: key.extent)
                    captured.append(Captured(key: key, graph: graph))
                } catch {
                    logger.warning(
                        """
                        the \(program.name)'s \(key.mode.rawValue) graph of \(key.extent.rows) rows can't be \
                        captured: \(error); such steps run in another graph, or kernel by kernel
                        """)
                }
            }
            return captured.reversed()
        }
        uniformDecodes = capture(plan.body.filter(\.extent.isUniformDecode), programs.body)
        mixed = capture(plan.body.filter { !$0.extent.isUniformDecode }, programs.body)
        heads = capture(plan.head, programs.head)
    }

    /// - Complexity: O(graphs); allocates nothing.
    package func dispatch(body extent: GraphExtent) -> Dispatch {
        if extent.isUniformDecode, let found = smallest(uniformDecodes, holding: extent) { return found }
        return smallest(mixed, holding: extent) ?? Dispatch(mode: .none, graph: eagerBody, paddedRows: nil)
    }

    /// - Parameter mode: how the body runs: beside an eager body the head is eager too.
    package func dispatch(head rows: Int, beside mode: GraphRuntimeMode) -> Dispatch {
        let extent = GraphExtent(rows: rows, sequences: 0)
        let found = mode == .none ? nil : smallest(heads, holding: extent)
        return found ?? Dispatch(mode: .none, graph: eagerHead, paddedRows: nil)
    }

    private func smallest(_ graphs: [Captured], holding extent: GraphExtent) -> Dispatch? {
        for captured in graphs
        where captured.key.extent.rows >= extent.rows && captured.key.extent.sequences >= extent.sequences {
            return Dispatch(
                mode: captured.key.mode, graph: captured.graph,
                paddedRows: capturesBySize ? captured.key.extent.rows : nil)
        }
        return nil
    }
}
