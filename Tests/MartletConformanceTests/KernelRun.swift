// SPDX-License-Identifier: Apache-2.0

import MartletCompute
import MartletReference
import MartletTestSupport
import Testing

/// One kernel or a few over random inputs, on any device.
struct KernelRun {
    struct Matrix {
        let weight: Weight
        let type: ElementType
        let bytes: [UInt8]

        var use: WeightUse { WeightUse(weight.count > 1 ? [.experts] : [.linear, .embedding]) }
    }

    var tokens = 5
    /// Rows of the step that need logits.
    var logitRows: [Int32] = [0]
    var kernels: [Kernel]
    var matrices: [Matrix] = []
    var vectors: [(weight: Weight, values: [Float])] = []
    var inputs: [(tensor: Tensor, values: [Float])] = []
    var cache = CacheShape(
        layers: 2, keyValueHeads: 1, headSize: 16, blockSize: 16, blockCount: 8, format: .float(.float32))
    /// Sets up the batch beyond its counts.
    var prepare: (BatchBuffers) -> Void = { _ in }

    /// What a device leaves of a tensor, and the batch.
    func output(
        _ tensor: Tensor, on device: any ComputeDevice, mode: GraphRuntimeMode = .full
    ) throws -> (numbers: [Float], batch: BatchBuffers) {
        let vocabulary = kernels.compactMap { kernel in
            if case .sample(let logits) = kernel { return logits.columns }
            return nil
        }.first
        let capacity = BatchCapacity(
            tokens: max(tokens, 1) + 3, sequences: 4, blocksPerSequence: 8, logitRows: max(logitRows.count, 1) + 2,
            topLogprobs: 4,
            logitEdits: vocabulary.map { LogitEdits.Capacity(biases: 4, counts: 4, vocabularySize: $0) } ?? .none)
        let batch = BatchBuffers(capacity: capacity)
        batch.tokenCount = tokens
        batch.logitRowCount = logitRows.count
        for (row, source) in logitRows.enumerated() { batch.logitRows[row] = source }
        prepare(batch)
        var weights: [String: any DeviceWeight] = [:]
        for matrix in matrices {
            weights[matrix.weight.name] = try matrix.bytes.withUnsafeBytes { bytes in
                try device.pack(
                    HostTensor(
                        elementType: matrix.type, count: matrix.weight.count, rows: matrix.weight.rows,
                        columns: matrix.weight.columns, bytes: bytes), for: matrix.use)
            }
        }
        for (weight, values) in vectors {
            weights[weight.name] = try values.withUnsafeBytes {
                try device.pack(
                    HostTensor(
                        elementType: .float32, count: weight.count, rows: weight.rows, columns: weight.columns,
                        bytes: $0), for: WeightUse([.vector]))
            }
        }
        let workspace = try device.makeWorkspace(capacity)
        let bindings = ProgramBindings(
            weights: weights, cache: try device.allocateCache(cache), workspace: workspace)
        let graph = try device.compile(
            Program(name: "test", kernels: kernels), bindings: bindings, mode: mode,
            extent: GraphExtent(rows: capacity.tokens, sequences: capacity.sequences))
        for input in inputs { try workspace.write(input.values, to: input.tensor) }
        try device.submit([graph], batch: batch).wait()
        let rows = tensor.rows == .tokens ? tokens : logitRows.count
        return (try workspace.read(tensor, rows: rows), batch)
    }
}

extension KernelRun {
    /// Expects what the reference device leaves of a tensor, in every graph mode.
    ///
    /// - Parameter tolerance: of each number, relative to the largest of the row.
    func expectAgreement(
        of tensor: Tensor, on device: DeviceUnderTest, tolerance: Float,
        _ location: SourceLocation = #_sourceLocation
    ) throws {
        let expected = try output(tensor, on: ReferenceDevice()).numbers
        for mode in GraphRuntimeMode.allCases {
            let found = try output(tensor, on: device.make(), mode: mode).numbers
            Conformance.expect(found.count == expected.count && !found.isEmpty, sourceLocation: location)
            for start in stride(from: 0, to: expected.count, by: tensor.columns) {
                let row = start..<start + tensor.columns
                let scale = expected[row].map(\.magnitude).max() ?? 0
                let worst = zip(found[row], expected[row]).map { abs($0 - $1) }.max() ?? 0
                Conformance.expect(
                    worst <= tolerance * scale, "\(mode), row \(start / tensor.columns): \(worst) of \(scale)",
                    sourceLocation: location)
            }
        }
    }
}

extension KernelRun.Matrix {
    static func random(
        _ name: String, count: Int = 1, rows: Int, columns: Int, _ type: ElementType,
        _ random: inout SeededGenerator
    ) -> KernelRun.Matrix {
        KernelRun.Matrix(
            weight: Weight(name, count: count, rows: rows, columns: columns), type: type,
            bytes: random.weights(type, rows: count * rows, columns: columns, scale: 0.3))
    }
}
