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
    private var angles: Tensor { tokens("angles", configuration.rotary.dimensions) }
    private var queryKeyValue: Tensor { tokens("queryKeyValue", configuration.heads.queryKeyValueColumns) }

    private func tokens(_ name: String, _ columns: Int) -> Tensor { Tensor(name, rows: .tokens, columns: columns) }
    private func rows(_ name: String, _ columns: Int) -> Tensor { Tensor(name, rows: .logitRows, columns: columns) }

    /// What flows through a layer: of all tokens, or of those alone whose logits are wanted.
    private struct Stream {
        let hidden: Tensor
        let normed: Tensor
        let attended: Tensor
        let gateUp: Tensor
        let activated: Tensor

        init(_ configuration: DecoderConfiguration, rows: RowExtent, prefix: String = "") {
            func tensor(_ name: String, _ columns: Int) -> Tensor {
                Tensor(prefix + name, rows: rows, columns: columns)
            }
            hidden = tensor("hidden", configuration.hiddenSize)
            normed = tensor("normed", configuration.hiddenSize)
            attended = tensor("attended", configuration.heads.outputColumns)
            gateUp = tensor("gateUp", 2 * configuration.feedForwardSize)
            activated = tensor("activated", configuration.feedForwardSize)
        }
    }

    private var stream: Stream { Stream(configuration, rows: .tokens) }

    private var embedding: Weight {
        Weight(
            DecoderWeightName.embedding, rows: configuration.vocabularySize, columns: configuration.hiddenSize)
    }

    public var programs: DecoderPrograms { DecoderPrograms(body: body, head: head) }

    /// Tokens to the last layer's attention.
    private var body: Program {
        var kernels: [Kernel] = [
            .embed(table: embedding, output: stream.hidden),
            .rotaryAngles(inverseFrequencies: configuration.rotary.inverseFrequencies, output: angles),
        ]
        for layer in 0..<configuration.layers {
            if layer > 0 { kernels += feedForward(layer - 1, stream) }
            kernels += attention(layer, stream)
        }
        return Program(name: "body", kernels: kernels)
    }

    private func matrix(_ layer: Int, _ part: String, _ rows: Int, _ columns: Int) -> Weight {
        Weight(DecoderWeightName.layer(layer, part), rows: rows, columns: columns)
    }

    private func vector(_ layer: Int, _ part: String, _ columns: Int) -> Weight {
        Weight(DecoderWeightName.layer(layer, part), columns: columns)
    }

    /// A layer up to its attention.
    private func attention(_ layer: Int, _ stream: Stream) -> [Kernel] {
        let (hiddenSize, heads) = (configuration.hiddenSize, configuration.heads)
        let (queryColumns, keyColumns) = (heads.outputColumns, heads.keyValueHeads * heads.headSize)
        let biases = [("attn_q.bias", queryColumns), ("attn_k.bias", keyColumns), ("attn_v.bias", keyColumns)]
        let parameters = AttentionParameters(heads: heads, scale: Float(1 / sqrt(Double(heads.headSize))))
        return [
            .norm(
                input: stream.hidden, weight: vector(layer, "attn_norm.weight", hiddenSize),
                epsilon: configuration.normEpsilon, output: stream.normed),
            .linear(
                LinearKernel(
                    input: stream.normed,
                    weights: [
                        matrix(layer, "attn_q.weight", queryColumns, hiddenSize),
                        matrix(layer, "attn_k.weight", keyColumns, hiddenSize),
                        matrix(layer, "attn_v.weight", keyColumns, hiddenSize),
                    ],
                    biases: configuration.hasQueryKeyValueBias ? biases.map { vector(layer, $0, $1) } : [],
                    output: queryKeyValue)),
            .rotaryAndCacheWrite(queryKeyValue: queryKeyValue, angles: angles, parameters: parameters, layer: layer),
            .attention(queryKeyValue: queryKeyValue, output: stream.attended, parameters: parameters, layer: layer),
        ]
    }

    /// What comes after a layer's attention.
    private func feedForward(_ layer: Int, _ stream: Stream) -> [Kernel] {
        let (hiddenSize, feedForwardSize) = (configuration.hiddenSize, configuration.feedForwardSize)
        return [
            .linear(
                LinearKernel(
                    input: stream.attended,
                    weights: [matrix(layer, "attn_output.weight", hiddenSize, configuration.heads.outputColumns)],
                    output: stream.hidden, accumulates: true)),
            .norm(
                input: stream.hidden, weight: vector(layer, "ffn_norm.weight", hiddenSize),
                epsilon: configuration.normEpsilon, output: stream.normed),
            .linear(
                LinearKernel(
                    input: stream.normed,
                    weights: [
                        matrix(layer, "ffn_gate.weight", feedForwardSize, hiddenSize),
                        matrix(layer, "ffn_up.weight", feedForwardSize, hiddenSize),
                    ],
                    output: stream.gateUp)),
            .gatedActivation(input: stream.gateUp, output: stream.activated, activation: .silu),
            .linear(
                LinearKernel(
                    input: stream.activated, weights: [matrix(layer, "ffn_down.weight", hiddenSize, feedForwardSize)],
                    output: stream.hidden, accumulates: true)),
        ]
    }

    /// The rest of the last layer, whose results no other token reads, and logits to samples: of the rows that need logits.
    private var head: Program {
        let last = Stream(configuration, rows: .logitRows, prefix: "last.")
        let normed = rows("headNormed", configuration.hiddenSize)
        let logits = rows("logits", configuration.vocabularySize)
        let output =
            configuration.tiesOutput
            ? embedding
            : Weight(DecoderWeightName.output, rows: configuration.vocabularySize, columns: configuration.hiddenSize)
        let gathers: [Kernel] = [
            .gatherRows(input: stream.hidden, output: last.hidden),
            .gatherRows(input: stream.attended, output: last.attended),
        ]
        let outputs: [Kernel] = [
            .norm(
                input: last.hidden, weight: Weight(DecoderWeightName.outputNorm, columns: configuration.hiddenSize),
                epsilon: configuration.normEpsilon, output: normed),
            .linear(LinearKernel(input: normed, weights: [output], output: logits)),
            .sample(logits: logits),
        ]
        return Program(name: "head", kernels: gathers + feedForward(configuration.layers - 1, last) + outputs)
    }
}

extension DecoderPrograms {
    /// The matrices of linear layers, each once.
    public var linearWeights: [Weight] {
        var seen: Set<Weight> = []
        return kernels.flatMap { kernel -> [Weight] in
            if case .linear(let linear) = kernel { linear.weights.filter { seen.insert($0).inserted } } else { [] }
        }
    }

    /// The weights that both programs read, in the order of use.
    public var weights: (matrices: [Weight], vectors: [Weight]) {
        var (matrices, vectors): ([Weight], [Weight]) = ([], [])
        var seen: Set<Weight> = []
        for kernel in kernels {
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
