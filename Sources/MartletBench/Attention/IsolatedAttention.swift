// SPDX-License-Identifier: Apache-2.0

package import MartletAttention
package import MartletCompute

/// Attention layers without a model around them: a cache, a batch with its plan, and a graph of nothing but attention.
package final class IsolatedAttention {
    /// A sequence's share of a step.
    package struct Sequence: Equatable, Sendable {
        package var queryLength: Int
        /// Keys it has, those of its query tokens included.
        package var length: Int
        package var blockTable: [Int32]
        package var prefixRanges: [PrefixRange]

        package init(queryLength: Int, length: Int, blockTable: [Int32], prefixRanges: [PrefixRange] = []) {
            self.queryLength = queryLength
            self.length = length
            self.blockTable = blockTable
            self.prefixRanges = prefixRanges
        }
    }

    package let parameters: AttentionParameters
    package let cache: any KeyValueCache
    package let workspace: any Workspace
    package let batch: BatchBuffers
    private let device: any ComputeDevice
    private let bindings: ProgramBindings
    private var graphs: [Range<Int>: any ExecutionGraph] = [:]
    private let queryKeyValue: Tensor
    private let output: Tensor

    /// - Parameter sinks: `[queryHeads]`
    package init(
        _ parameters: AttentionParameters, shape: CacheShape, capacity: BatchCapacity, sinks: [Float]? = nil,
        on device: any ComputeDevice
    ) throws {
        var parameters = parameters
        var weights: [String: any DeviceWeight] = [:]
        if let sinks {
            parameters.sinks = Weight("sinks", columns: sinks.count)
            weights["sinks"] = try device.pack(vector: sinks)
        }
        self.parameters = parameters
        self.device = device
        cache = try device.allocateCache(shape)
        workspace = try device.makeWorkspace(capacity)
        batch = BatchBuffers(capacity: capacity)
        bindings = ProgramBindings(weights: weights, cache: cache, workspace: workspace)
        let heads = parameters.heads
        queryKeyValue = Tensor("queryKeyValue", rows: .tokens, columns: heads.queryKeyValueColumns)
        output = Tensor("attended", rows: .tokens, columns: heads.outputColumns)
        try compile(layers: shape.layers.indices)
    }

    /// A planner for this device and these heads.
    package func planner(splits: Bool, decodeThreshold: Int = 1) -> AttentionPlanner {
        AttentionPlanner(
            geometry: device.attentionGeometry(for: parameters.heads), group: parameters.group, splits: splits,
            decodeThreshold: decodeThreshold)
    }

    /// Writes K and V, both `[slots, keyValueHeads, headSize]`, to slots of the cache.
    package func store(keys: [Float], values: [Float], slots: [Int64], layer: Int = 0) throws {
        let heads = parameters.heads
        let columns = heads.keyValueHeads * heads.headSize
        precondition(
            keys.count == slots.count * columns && values.count == keys.count, "a row of K and V for each slot")
        var write = HeadPreparation(queryKeyValue: queryKeyValue, heads: heads, cacheLayer: layer)
        (write.keyScale, write.valueScale) = (parameters.keyScale, parameters.valueScale)
        let graphs = [try compile(Program(name: "store", kernels: [.prepareHeads(write)]))]
        for start in stride(from: 0, to: slots.count, by: batch.capacity.tokens) {
            let part = start..<min(start + batch.capacity.tokens, slots.count)
            var rows: [Float] = []
            rows.reserveCapacity(part.count * heads.queryKeyValueColumns)
            for slot in part {
                rows += repeatElement(0, count: heads.outputColumns)
                rows += keys[slot * columns..<(slot + 1) * columns]
                rows += values[slot * columns..<(slot + 1) * columns]
            }
            for (row, slot) in part.enumerated() { batch.slotMapping[row] = slots[slot] }
            batch.tokenCount = part.count
            try workspace.write(rows, to: queryKeyValue)
            try device.submit(graphs, batch: batch).wait()
        }
    }

    /// Writes a step's geometry into the batch.
    ///
    /// - Precondition: it fits the capacity.
    package func prepare(_ sequences: [Sequence]) {
        let capacity = batch.capacity
        precondition(sequences.count <= capacity.sequences, "too many sequences")
        var row = 0
        for (index, sequence) in sequences.enumerated() {
            precondition(row + sequence.queryLength <= capacity.tokens, "too many tokens")
            precondition(sequence.queryLength <= sequence.length, "a query token has a key of its own")
            precondition(sequence.blockTable.count <= capacity.blocksPerSequence, "too many blocks")
            precondition(sequence.prefixRanges.count <= capacity.prefixRanges, "too many prefix ranges")
            batch.queryStartLocations[index] = Int32(row)
            batch.sequenceLengths[index] = Int32(sequence.length)
            for offset in 0..<sequence.queryLength {
                batch.positions[row] = Int32(sequence.length - sequence.queryLength + offset)
                row += 1
            }
            for entry in 0..<capacity.blocksPerSequence {
                let block = entry < sequence.blockTable.count ? sequence.blockTable[entry] : -1
                batch.blockTables[index * capacity.blocksPerSequence + entry] = block
            }
            for range in 0..<capacity.prefixRanges {
                let none = PrefixRange(first: 0, last: 0)
                batch.prefixRanges[index * capacity.prefixRanges + range] =
                    range < sequence.prefixRanges.count ? sequence.prefixRanges[range] : none
            }
        }
        batch.queryStartLocations[sequences.count] = Int32(row)
        batch.tokenCount = row
        batch.sequenceCount = sequences.count
    }

    /// Sets what is added to the scores among a sequence's query tokens; empty for nothing.
    package func setQueryQueryBias(_ bias: [[Float]]) {
        precondition(bias.count <= batch.capacity.queryQueryBias, "too many rows of bias")
        for (row, values) in bias.enumerated() {
            precondition(values.count == bias.count, "the bias is square")
            for (column, value) in values.enumerated() {
                batch.queryQueryBias[row * batch.capacity.queryQueryBias + column] = value
            }
        }
        batch.queryQueryBiasExtent = bias.count
    }

    /// Sets the queries of the prepared step, `[tokens, queryHeads, headSize]`.
    package func setQueries(_ queries: [Float]) throws {
        let heads = parameters.heads
        precondition(queries.count == batch.tokenCount * heads.outputColumns, "a query for each token")
        var rows: [Float] = []
        rows.reserveCapacity(batch.tokenCount * heads.queryKeyValueColumns)
        for row in 0..<batch.tokenCount {
            rows += queries[row * heads.outputColumns..<(row + 1) * heads.outputColumns]
            rows += repeatElement(0, count: heads.queryKeyValueColumns - heads.outputColumns)
        }
        try workspace.write(rows, to: queryKeyValue)
    }

    /// Plans the prepared step and runs it once.
    package func run(_ planner: AttentionPlanner) throws {
        planner.plan(batch)
        try runPlanned(layers: cache.shape.layers.indices)
    }

    /// Runs the planned step through some of the layers.
    package func runPlanned(layers: Range<Int>) throws {
        try device.submit([try graph(layers)], batch: batch).wait()
    }

    /// Makes the graph of some of the layers ready, so that no run has to.
    package func compile(layers: Range<Int>) throws { _ = try graph(layers) }

    private func graph(_ layers: Range<Int>) throws -> any ExecutionGraph {
        if let graph = graphs[layers] { return graph }
        let kernels = layers.map { layer in
            Kernel.attention(
                AttentionKernel(
                    queryKeyValue: queryKeyValue, output: output, parameters: parameters, cacheLayer: layer))
        }
        let graph = try compile(Program(name: "attention", kernels: kernels))
        graphs[layers] = graph
        return graph
    }

    private func compile(_ program: Program) throws -> any ExecutionGraph {
        let capacity = batch.capacity
        return try device.compile(
            program, bindings: bindings, mode: .full,
            extent: GraphExtent(rows: capacity.tokens, sequences: capacity.sequences))
    }

    /// The last layer's output, `[tokens, queryHeads, headSize]`.
    package func outputs() throws -> [Float] { try workspace.read(output, rows: batch.tokenCount) }

    /// Overwrites the output, so that what a run leaves out shows.
    package func poisonOutputs() throws {
        let count = batch.capacity.tokens * parameters.heads.outputColumns
        try workspace.write(Array(repeating: .nan, count: count), to: output)
    }
}
