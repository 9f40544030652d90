// SPDX-License-Identifier: Apache-2.0

import Glibc
public import MartletCompute

/// The names of a decoder's weights; those of GGUF, which every checkpoint format is mapped onto.
public enum DecoderWeightName {
    public static let embedding = "token_embd.weight"
    public static let outputNorm = "output_norm.weight"
    public static let output = "output.weight"

    public static func layer(_ layer: Int, _ part: String) -> String { "blk.\(layer).\(part)" }
}

/// The one decoder: emits the programs of any model that a `DecoderConfiguration` describes.
public struct Decoder: Sendable {
    public let configuration: DecoderConfiguration

    public init(_ configuration: DecoderConfiguration) { self.configuration = configuration }

    // Tensors, by name. Layers follow each other, so each name stands for every layer's.
    private var hidden: Tensor { tokens("hidden", configuration.hiddenSize) }
    private var normed: Tensor { tokens("normed", configuration.hiddenSize) }
    private var angles: Tensor { tokens("angles", configuration.rotary.dimensions) }
    private var queryKeyValue: Tensor { tokens("queryKeyValue", configuration.heads.queryKeyValueColumns) }
    private var attended: Tensor { tokens("attended", configuration.heads.outputColumns) }
    private var gateUp: Tensor { tokens("gateUp", 2 * configuration.feedForwardSize) }
    private var activated: Tensor { tokens("activated", configuration.feedForwardSize) }

    private func tokens(_ name: String, _ columns: Int) -> Tensor { Tensor(name, rows: .tokens, columns: columns) }
    private func rows(_ name: String, _ columns: Int) -> Tensor { Tensor(name, rows: .logitRows, columns: columns) }

    private var embedding: Weight {
        Weight(
            DecoderWeightName.embedding, rows: configuration.vocabularySize, columns: configuration.hiddenSize)
    }

    public var programs: DecoderPrograms { DecoderPrograms(body: body, head: head) }

    /// Tokens to hidden states.
    private var body: Program {
        var kernels: [Kernel] = [
            .embed(table: embedding, output: hidden),
            .rotaryAngles(inverseFrequencies: configuration.rotary.inverseFrequencies, output: angles),
        ]
        for layer in 0..<configuration.layers { kernels += self.layer(layer) }
        return Program(name: "body", kernels: kernels)
    }

    private func layer(_ layer: Int) -> [Kernel] {
        let (hiddenSize, heads) = (configuration.hiddenSize, configuration.heads)
        let (queryColumns, keyColumns) = (heads.outputColumns, heads.keyValueHeads * heads.headSize)
        func matrix(_ part: String, _ rows: Int, _ columns: Int) -> Weight {
            Weight(DecoderWeightName.layer(layer, part), rows: rows, columns: columns)
        }
        func vector(_ part: String, _ columns: Int) -> Weight {
            Weight(DecoderWeightName.layer(layer, part), columns: columns)
        }
        let biases = [
            vector("attn_q.bias", queryColumns), vector("attn_k.bias", keyColumns), vector("attn_v.bias", keyColumns),
        ]
        let parameters = AttentionParameters(heads: heads, scale: Float(1 / sqrt(Double(heads.headSize))))
        let epsilon = configuration.normEpsilon
        return [
            .norm(input: hidden, weight: vector("attn_norm.weight", hiddenSize), epsilon: epsilon, output: normed),
            .linear(
                LinearKernel(
                    input: normed,
                    weights: [
                        matrix("attn_q.weight", queryColumns, hiddenSize),
                        matrix("attn_k.weight", keyColumns, hiddenSize),
                        matrix("attn_v.weight", keyColumns, hiddenSize),
                    ],
                    biases: configuration.hasQueryKeyValueBias ? biases : [], output: queryKeyValue)),
            .rotaryAndCacheWrite(queryKeyValue: queryKeyValue, angles: angles, parameters: parameters, layer: layer),
            .attention(queryKeyValue: queryKeyValue, output: attended, parameters: parameters, layer: layer),
            .linear(
                LinearKernel(
                    input: attended, weights: [matrix("attn_output.weight", hiddenSize, queryColumns)],
                    output: hidden, accumulates: true)),
            .norm(input: hidden, weight: vector("ffn_norm.weight", hiddenSize), epsilon: epsilon, output: normed),
            .linear(
                LinearKernel(
                    input: normed,
                    weights: [
                        matrix("ffn_gate.weight", configuration.feedForwardSize, hiddenSize),
                        matrix("ffn_up.weight", configuration.feedForwardSize, hiddenSize),
                    ],
                    output: gateUp)),
            .gatedActivation(input: gateUp, output: activated, activation: .silu),
            .linear(
                LinearKernel(
                    input: activated,
                    weights: [matrix("ffn_down.weight", hiddenSize, configuration.feedForwardSize)],
                    output: hidden, accumulates: true)),
        ]
    }

    /// Hidden states of the rows that need logits to samples.
    private var head: Program {
        let gathered = rows("gathered", configuration.hiddenSize)
        let normed = rows("headNormed", configuration.hiddenSize)
        let logits = rows("logits", configuration.vocabularySize)
        let output =
            configuration.tiesOutput
            ? embedding
            : Weight(DecoderWeightName.output, rows: configuration.vocabularySize, columns: configuration.hiddenSize)
        return Program(
            name: "head",
            kernels: [
                .gatherRows(input: hidden, output: gathered),
                .norm(
                    input: gathered, weight: Weight(DecoderWeightName.outputNorm, columns: configuration.hiddenSize),
                    epsilon: configuration.normEpsilon, output: normed),
                .linear(LinearKernel(input: normed, weights: [output], output: logits)),
                .sample(logits: logits),
            ])
    }
}

extension DecoderPrograms {
    /// The matrices of linear layers, each once.
    public var linearWeights: [Weight] {
        var seen: Set<Weight> = []
        return (body.kernels + head.kernels).flatMap { kernel -> [Weight] in
            if case .linear(let linear) = kernel { linear.weights.filter { seen.insert($0).inserted } } else { [] }
        }
    }

    /// The weights that both programs read, in the order of use.
    public var weights: (matrices: [Weight], vectors: [Weight]) {
        var (matrices, vectors): ([Weight], [Weight]) = ([], [])
        var seen: Set<Weight> = []
        for kernel in body.kernels + head.kernels {
            let weights = kernel.weights
            matrices += weights.matrices.filter { seen.insert($0).inserted }
            vectors += weights.vectors.filter { seen.insert($0).inserted }
        }
        return (matrices, vectors)
    }
}

extension Kernel {
    /// The weights it reads: matrices, then vectors.
    public var weights: (matrices: [Weight], vectors: [Weight]) {
        switch self {
        case .embed(let table, _): ([table], [])
        case .norm(_, let weight, _, _): ([], [weight])
        case .linear(let linear): (linear.weights, linear.biases)
        case .attention(_, _, let parameters, _): ([], parameters.sinks.map { [$0] } ?? [])
        case .rotaryAngles, .rotaryAndCacheWrite, .gatedActivation, .gatherRows, .sample: ([], [])
        }
    }
}
