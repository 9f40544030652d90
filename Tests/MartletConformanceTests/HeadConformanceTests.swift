// SPDX-License-Identifier: Apache-2.0

import MartletAttention
import MartletCompute
import MartletReference
import MartletTestSupport
import Testing

/// Rotation, the cache and attention over it.
@Suite struct HeadConformanceTests {
    /// Sequences of a step: keys that are there, and query tokens.
    private static let sequences = [(context: 0, query: 21), (context: 70, query: 1), (context: 33, query: 4)]

    /// Several steps through one cache: contexts first, then what is compared.
    private func attended(
        _ parameters: AttentionParameters, _ format: CacheFormat, frequencies: Int, splits: Bool,
        vectors: [Weight] = [], on device: any ComputeDevice,
        _ change: (inout HeadPreparation) -> Void = { _ in }
    ) throws -> [Float] {
        var random = SeededGenerator(6)
        let heads = parameters.heads
        let capacity = BatchCapacity(tokens: 128, sequences: 3, blocksPerSequence: 8, logitRows: 1, partials: 64)
        let shape = CacheShape(
            layers: 2, keyValueHeads: heads.keyValueHeads, headSize: heads.headSize, blockSize: 16, blockCount: 20,
            format: format)
        let workspace = try device.makeWorkspace(capacity)
        var weights: [String: any DeviceWeight] = [:]
        for vector in vectors { weights[vector.name] = try device.pack(vector: random.normals(vector.columns)) }
        let bindings = ProgramBindings(
            weights: weights, cache: try device.allocateCache(shape), workspace: workspace)
        let queryKeyValue = Tensor("qkv", rows: .tokens, columns: heads.queryKeyValueColumns)
        let (angles, output) = (
            Tensor("angles", rows: .tokens, columns: 2 * frequencies),
            Tensor("attended", rows: .tokens, columns: heads.outputColumns)
        )
        var preparation = HeadPreparation(
            queryKeyValue: queryKeyValue, heads: heads, rotation: HeadRotation(angles: angles, pairing: .adjacent),
            cacheLayer: 1)
        (preparation.keyScale, preparation.valueScale) = (parameters.keyScale, parameters.valueScale)
        change(&preparation)
        let program = Program(
            name: "heads",
            kernels: [
                .rotaryAngles(inverseFrequencies: (0..<frequencies).map { 1 / Double($0 + 1) }, output: angles),
                .prepareHeads(preparation),
                .attention(
                    AttentionKernel(
                        queryKeyValue: queryKeyValue, output: output, parameters: parameters, cacheLayer: 1)),
            ])
        let graph = try device.compile(
            program, bindings: bindings, mode: .full, extent: GraphExtent(rows: 128, sequences: 3))
        let planner = AttentionPlanner(
            geometry: device.attentionGeometry(for: heads), group: parameters.group, splits: splits)
        let batch = BatchBuffers(capacity: capacity)
        func step(_ shares: [(first: Int, count: Int)]) throws {
            var row = 0
            batch.sequenceCount = shares.count
            for (sequence, share) in shares.enumerated() {
                batch.queryStartLocations[sequence] = Int32(row)
                batch.sequenceLengths[sequence] = Int32(share.first + share.count)
                for block in 0..<8 {
                    // Blocks of a sequence aren't neighbours.
                    batch.blockTables[sequence * 8 + block] = Int32((block * 3 + sequence) % 20)
                }
                for position in share.first..<share.first + share.count {
                    batch.positions[row] = Int32(position)
                    batch.slotMapping[row] =
                        Int64(batch.blockTables[sequence * 8 + position / 16]) * 16 + Int64(position % 16)
                    row += 1
                }
            }
            batch.queryStartLocations[shares.count] = Int32(row)
            batch.tokenCount = row
            try workspace.write(random.normals(row * heads.queryKeyValueColumns), to: queryKeyValue)
            planner.plan(batch)
            try device.submit([graph], batch: batch).wait()
        }
        try step(Self.sequences.map { (0, max($0.context, 1)) })
        try step(Self.sequences.map { ($0.context, $0.query) })
        return try workspace.read(output, rows: batch.tokenCount)
    }

    /// Every format of the cache, with one launch and with two, rotated in part and whole.
    @Test(arguments: DeviceUnderTest.all, CacheFormat.allCases)
    func attention(_ device: DeviceUnderTest, _ format: CacheFormat) throws {
        for (heads, frequencies) in [
            (AttentionHeads(queryHeads: 6, keyValueHeads: 2, headSize: 16), 8),
            (AttentionHeads(queryHeads: 5, keyValueHeads: 1, headSize: 40), 12),
        ] {
            var parameters = AttentionParameters(heads: heads, scale: 1 / Float(heads.headSize).squareRoot())
            if format.isEightBit { (parameters.keyScale, parameters.valueScale) = (0.02, 0.03) }
            let expected = try attended(
                parameters, format, frequencies: frequencies, splits: true, on: ReferenceDevice())
            // Queries and probabilities are rounded to bf16 beside bf16 and less; elsewhere f32 is.
            let tolerance: Float =
                switch format {
                case .float(.float32), .float(.float16): 2e-4
                case .int16: 2e-3
                default: 4e-2
                }
            for splits in [false, true] {
                let found = try attended(
                    parameters, format, frequencies: frequencies, splits: splits, on: device.make())
                let worst = zip(found, expected).map { abs($0 - $1) }.max() ?? .infinity
                Conformance.expect(found.count == 26 * heads.outputColumns && worst < tolerance, "\(format): \(worst)")
            }
        }
    }

    /// What is done with heads before attention: norms of each kind and extent, both pairings, temperature, no rotation.
    @Test(arguments: DeviceUnderTest.all, HeadRotation.Pairing.allCases)
    func preparation(_ device: DeviceUnderTest, _ pairing: HeadRotation.Pairing) throws {
        let heads = AttentionHeads(queryHeads: 6, keyValueHeads: 2, headSize: 24)
        let parameters = AttentionParameters(heads: heads, scale: 0.2)
        func norm(_ name: String, _ columns: Int, _ kind: NormKind, _ extent: HeadNorm.Extent) -> HeadNorm {
            var norm = HeadNorm(weight: Weight(name, columns: columns), epsilon: 1e-5)
            (norm.kind, norm.extent) = (kind, extent)
            return norm
        }
        let changes: [(vectors: [Weight], change: (inout HeadPreparation) -> Void)] = [
            ([], { $0.rotation?.pairing = pairing }),
            (
                [Weight("q", columns: 24), Weight("k", columns: 24)],
                {
                    $0.rotation?.pairing = pairing
                    $0.queryNorm = norm("q", 24, .rootMeanSquare, .head)
                    $0.keyNorm = norm("k", 24, .rootMeanSquare, .head)
                    $0.valueNorm = HeadNorm(weight: nil, epsilon: 1e-5)
                }
            ),
            (
                [Weight("q", columns: 144), Weight("k", columns: 48)],
                {
                    $0.rotation?.pairing = pairing
                    $0.queryNorm = norm("q", 144, .rootMeanSquare, .allHeads)
                    $0.keyNorm = norm("k", 48, .rootMeanSquare, .allHeads)
                }
            ),
            (
                [Weight("q", columns: 144), Weight("k", columns: 48)],
                {
                    $0.rotation = nil
                    $0.queryNorm = norm("q", 144, .layer, .head)
                    $0.keyNorm = norm("k", 48, .layer, .head)
                    $0.queryTemperature = QueryTemperature(beta: 0.5, length: 10)
                }
            ),
        ]
        for (vectors, change) in changes {
            for frequencies in [5, 12] {
                let expected = try attended(
                    parameters, .float(.float32), frequencies: frequencies, splits: true, vectors: vectors,
                    on: ReferenceDevice(), change)
                let found = try attended(
                    parameters, .float(.float32), frequencies: frequencies, splits: true, vectors: vectors,
                    on: device.make(), change)
                let worst = zip(found, expected).map { abs($0 - $1) }.max() ?? .infinity
                Conformance.expect(found.count == 26 * heads.outputColumns && worst < 2e-4, "\(worst)")
            }
        }
    }
}
