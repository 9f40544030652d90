// SPDX-License-Identifier: Apache-2.0

import MartletAttention
import MartletCompute
import MartletModels
import MartletReference
import MartletTestSupport
import Testing

/// A made-up family: a wiring, and a shape that it suits.
struct Wiring: CustomTestStringConvertible, Sendable {
    let testDescription: String
    let shape: ModelShape
    let programs: DecoderPrograms

    private init(_ name: String, _ family: any ModelFamily.Type, _ change: (inout ModelShape) -> Void) {
        testDescription = name
        let heads = AttentionHeads(queryHeads: 4, keyValueHeads: 2, headSize: 32)
        let layer = LayerShape(
            attention: AttentionShape(heads: heads, rotary: RotaryEmbedding(dimensions: 32, base: 10_000)),
            feedForward: .gated(160, .product(.silu)), norm: NormShape(epsilon: 1e-5))
        var shape = ModelShape(
            hiddenSize: 96, vocabularySize: 130, contextLength: 256, layers: Array(repeating: layer, count: 3),
            outputNorm: NormShape(epsilon: 1e-5), tiesOutput: true)
        change(&shape)
        self.shape = shape
        programs = family.programs(shape)
    }

    static let all: [Wiring] = [
        Wiring("llama", Llama.self) { _ in },
        // Norms behind both branches, windows on two of three layers, two rope bases, head norms, soft caps.
        Wiring("post norms and windows", PostNorms.self) { shape in
            shape.embeddingScale = 9.75
            shape.logitSoftcap = 30
            for index in shape.layers.indices {
                shape.layers[index].attention.headNorm = NormShape(epsilon: 1e-5)
                shape.layers[index].attention.softcap = 50
                shape.layers[index].feedForward = .gated(160, .product(.geluTanh))
                if index < 2 { shape.layers[index].attention.visibility.scope = .window(9) }
                shape.layers[index].attention.rotary = RotaryEmbedding(
                    dimensions: 32, base: index < 2 ? 10_000 : 1_000_000)
            }
        },
        // One norm for both branches, with a bias; plain feed-forward, biases everywhere, part of a head rotated.
        Wiring("parallel branches", Parallel.self) { shape in
            shape.tiesOutput = false
            shape.logitScale = 0.25
            shape.outputNorm = NormShape(.layer, epsilon: 1e-5, hasBias: true)
            for index in shape.layers.indices {
                shape.layers[index].norm = shape.outputNorm
                shape.layers[index].biases = [.queryKeyValue, .attentionOutput, .feedForward]
                shape.layers[index].feedForward = .plain(160, .gelu)
                shape.layers[index].attention.rotary = RotaryEmbedding(dimensions: 16, base: 10_000)
                shape.layers[index].attention.pairing = .adjacent
            }
        },
        // Each layer with heads and a size of its own; values with a norm or from the keys, a scale behind the layer.
        Wiring("unlike layers", Llama.self) { shape in
            let heads = [(4, 2, 32), (3, 1, 64), (8, 4, 16)]
            for (index, (queryHeads, keyValueHeads, headSize)) in heads.enumerated() {
                shape.layers[index].attention = AttentionShape(
                    heads: AttentionHeads(queryHeads: queryHeads, keyValueHeads: keyValueHeads, headSize: headSize),
                    rotary: RotaryEmbedding(dimensions: headSize, base: 10_000))
                shape.layers[index].attention.valueNorm = NormShape(epsilon: 1e-5)
                shape.layers[index].attention.valuesAreKeys = index == 1
                shape.layers[index].feedForward = .gated([160, 96, 224][index], .product(.geluTanh))
                shape.layers[index].outputScale = [0.5, 1, 1.5][index]
            }
        },
        // Positions by ALiBi, sinks, and experts behind the first layer.
        Wiring("experts", Llama.self) { shape in
            for index in shape.layers.indices {
                shape.layers[index].attention.rotary = nil
                shape.layers[index].attention.alibi = ALiBi(slopes: [0.5, 0.25, 0.125, 0.0625])
                shape.layers[index].attention.hasSinks = true
                guard index > 0 else { continue }
                var experts = ExpertsShape(
                    count: 5, chosen: 2, size: 64, gate: .clampedSwiGLU(alpha: 1.702, limit: 7),
                    scoring: .softmaxOfChosen)
                experts.hasChoiceBias = true
                shape.layers[index].feedForward = .experts(experts)
                shape.layers[index].biases = .experts
            }
        },
    ]
}

private enum PostNorms: ModelFamily {
    static let architectures = ["postNorms"]
    static func shape(of metadata: any ModelMetadata) -> ModelShape { Wiring.all[0].shape }

    static func layer(_ builder: inout LayerBuilder) {
        let attended = builder.attention(builder.norm(builder.hidden, "attn_norm"))
        builder.add(builder.norm(attended, "post_attention_norm"))
        let fed = builder.feedForward(builder.norm(builder.hidden, "ffn_norm"))
        builder.add(builder.norm(fed, "post_ffw_norm"))
    }
}

private enum Parallel: ModelFamily {
    static let architectures = ["parallel"]
    static func shape(of metadata: any ModelMetadata) -> ModelShape { Wiring.all[0].shape }

    static func layer(_ builder: inout LayerBuilder) {
        let normed = builder.norm(builder.hidden, "attn_norm")
        builder.add(builder.attention(normed))
        builder.add(builder.feedForward(normed))
    }
}

/// Whole programs of every wiring, over four steps: prompts, a prompt beside a decode, decodes, and a single row.
@Suite struct ProgramConformanceTests {
    private static let steps = [[(0, 23), (0, 7)], [(23, 1), (7, 12)], [(24, 1), (19, 1)], [(25, 1)]]

    /// The logits of each sequence's last token in each step.
    private func logits(
        _ wiring: Wiring, _ mode: GraphRuntimeMode, splits: Bool = true, on device: any ComputeDevice
    ) throws -> [Float] {
        let (programs, shape) = (wiring.programs, wiring.shape)
        let layout = CacheLayout(of: shape)
        var random = SeededGenerator(11)
        var weights: [String: any DeviceWeight] = [:]
        for (weight, use) in programs.weights {
            let isVector = use.roles.contains(.vector)
            let bytes = random.weights(
                .float32, rows: weight.count * weight.rows, columns: weight.columns,
                scale: isVector ? 0.5 : 1 / Float(weight.columns).squareRoot())
            weights[weight.name] = try bytes.withUnsafeBytes {
                try device.pack(
                    HostTensor(
                        elementType: .float32, count: weight.count, rows: weight.rows, columns: weight.columns,
                        bytes: $0), for: use)
            }
        }
        let capacity = BatchCapacity(
            tokens: 40, sequences: 2, blocksPerSequence: 4, logitRows: 2, partials: 256,
            attentionPlans: programs.attentionGroups.count, cacheGroups: layout.groups.count)
        let workspace = try device.makeWorkspace(capacity)
        let cache = CacheShape(
            layers: layout.blockLayers, blockSize: 16, blockCount: 8 * layout.groups.count,
            format: .float(.float32))
        try device.check(programs, cache: cache)
        let bindings = ProgramBindings(weights: weights, cache: try device.allocateCache(cache), workspace: workspace)
        let graphs = try [(programs.body, 40), (programs.head, 2)].map { program, rows in
            try device.compile(
                program, bindings: bindings, mode: mode, extent: GraphExtent(rows: rows, sequences: 2))
        }
        let batch = BatchBuffers(capacity: capacity)
        let output = Tensor("last.logits", rows: .logitRows, columns: shape.vocabularySize, precision: .exact)
        return try Self.steps.flatMap { shares in
            prepare(batch, shares)
            for (number, group) in programs.attentionGroups.enumerated() {
                AttentionPlanner(
                    geometry: device.attentionGeometry(for: group.heads), group: group, number: number, splits: splits
                ).plan(batch)
            }
            try device.submit(graphs, batch: batch).wait()
            return try workspace.read(output, rows: shares.count)
        }
    }

    private func prepare(_ batch: BatchBuffers, _ shares: [(first: Int, count: Int)]) {
        var row = 0
        batch.sequenceCount = shares.count
        for (sequence, share) in shares.enumerated() {
            batch.queryStartLocations[sequence] = Int32(row)
            batch.sequenceLengths[sequence] = Int32(share.first + share.count)
            for group in 0..<batch.capacity.cacheGroups {
                let table = batch.blockTable(of: sequence, group: group)
                for block in 0..<4 { table[block] = Int32((2 * block + sequence) * batch.capacity.cacheGroups + group) }
            }
            for position in share.first..<share.first + share.count {
                batch.tokenIDs[row] = Int32((position * 37 + sequence * 11) % 130)
                batch.positions[row] = Int32(position)
                for group in 0..<batch.capacity.cacheGroups {
                    let table = batch.blockTable(of: sequence, group: group)
                    batch.slots(ofGroup: group)[row] = Int64(table[position / 16]) * 16 + Int64(position % 16)
                }
                row += 1
            }
            batch.logitRows[sequence] = Int32(row - 1)
        }
        batch.queryStartLocations[shares.count] = Int32(row)
        (batch.tokenCount, batch.logitRowCount) = (row, shares.count)
    }

    @Test(arguments: DeviceUnderTest.all, Wiring.all)
    func agree(_ device: DeviceUnderTest, _ wiring: Wiring) throws {
        let expected = try logits(wiring, .full, on: ReferenceDevice())
        let scale = expected.map(\.magnitude).max() ?? 0
        var all: [[Float]] = []
        for mode in GraphRuntimeMode.allCases {
            for splits in [true, false] {
                all.append(try logits(wiring, mode, splits: splits, on: device.make()))
            }
        }
        let worst = zip(all[0], expected).map { abs($0 - $1) }.max() ?? .infinity
        #expect(expected.count == 7 * 130 && worst < 0.02 * scale, "\(worst) of \(scale)")
        // Bits depend on no mode and no launch.
        #expect(all.allSatisfy { $0 == all[0] })
    }
}
