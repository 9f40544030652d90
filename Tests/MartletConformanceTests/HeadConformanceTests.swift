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
        on device: any ComputeDevice
    ) throws -> [Float] {
        var random = SeededGenerator(6)
        let heads = parameters.heads
        let capacity = BatchCapacity(tokens: 128, sequences: 3, blocksPerSequence: 8, logitRows: 1, partials: 64)
        let layout = CacheLayout(
            layers: 2, keyValueHeads: heads.keyValueHeads, headSize: heads.headSize, blockSize: 16, blockCount: 20,
            format: format)
        let workspace = try device.makeWorkspace(capacity)
        let bindings = ProgramBindings(
            weights: [:], cache: try device.allocateCache(layout), workspace: workspace)
        let queryKeyValue = Tensor("qkv", rows: .tokens, columns: heads.queryKeyValueColumns)
        let (angles, output) = (
            Tensor("angles", rows: .tokens, columns: 2 * frequencies),
            Tensor("attended", rows: .tokens, columns: heads.outputColumns)
        )
        let program = Program(
            name: "heads",
            kernels: [
                .rotaryAngles(inverseFrequencies: (0..<frequencies).map { 1 / Double($0 + 1) }, output: angles),
                .rotaryAndCacheWrite(queryKeyValue: queryKeyValue, angles: angles, parameters: parameters, layer: 1),
                .attention(queryKeyValue: queryKeyValue, output: output, parameters: parameters, layer: 1),
            ])
        let graph = try device.compile(
            program, bindings: bindings, mode: .full, extent: BatchDescriptor(tokens: 128, sequences: 3))
        let planner = AttentionPlanner(
            geometry: device.attentionGeometry(for: heads), heads: heads, visibility: parameters.visibility,
            splits: splits)
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
}
