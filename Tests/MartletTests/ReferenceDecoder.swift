// SPDX-License-Identifier: Apache-2.0

import Foundation
import MartletAttention
import MartletCheckpoints
import MartletCompute
import MartletModels
import MartletReference

/// A Llama written as its formulas: whole sequence at once, f64, no cache, no quantisation but the weights' own.
struct ReferenceDecoder {
    private let shape: ModelShape
    private let weights: [String: [[Double]]]

    init(path: String) throws {
        let file = try GGUFFile(path: path)
        let blueprint = try ModelBlueprint(of: file)
        shape = blueprint.shape
        var weights: [String: [[Double]]] = [:]
        for entry in blueprint.entries {
            guard let tensor = file.contents.tensor(named: entry.tensor.name) else { continue }
            let host = file.hostTensor(tensor)
            weights[entry.weight.name] = (0..<host.rows).map { host.dequantizedRow($0).map(Double.init) }
        }
        self.weights = weights
    }

    private var attention: AttentionShape { shape.layers[0].attention }
    private var heads: AttentionHeads { attention.heads }

    private func matrix(_ name: String) -> [[Double]] { weights[name] ?? [] }

    private func apply(_ name: String, _ input: [Double]) -> [Double] {
        matrix(name).map { zip($0, input).reduce(0) { $0 + $1.0 * $1.1 } }
    }

    private func norm(_ name: String, _ input: [Double]) -> [Double] {
        let mean = input.reduce(0) { $0 + $1 * $1 } / Double(input.count)
        let factor = 1 / (mean + Double(shape.outputNorm.epsilon)).squareRoot()
        return zip(input, matrix(name)[0]).map { $0 * factor * $1 }
    }

    private func add(_ a: [Double], _ b: [Double]) -> [Double] { zip(a, b).map { $0 + $1 } }

    /// A projection, its bias if it has one, cut into heads.
    private func heads(_ layer: Int, _ part: String, _ input: [Double]) -> [[Double]] {
        var result = apply("blk.\(layer).attn_\(part).weight", input)
        if shape.layers[layer].biases == .queryKeyValue {
            result = add(result, matrix("blk.\(layer).attn_\(part).bias")[0])
        }
        let size = heads.headSize
        return stride(from: 0, to: result.count, by: size).map { Array(result[$0..<$0 + size]) }
    }

    private func rotate(_ head: [Double], position: Int) -> [Double] {
        var result = head
        for (pair, frequency) in (attention.rotary?.inverseFrequencies ?? []).enumerated() {
            let angle = Double(position) * frequency
            let first = attention.pairing == .adjacent ? 2 * pair : pair
            let second = attention.pairing == .adjacent ? first + 1 : pair + (attention.rotary?.dimensions ?? 0) / 2
            let (a, b) = (head[first], head[second])
            result[first] = a * cos(angle) - b * sin(angle)
            result[second] = a * sin(angle) + b * cos(angle)
        }
        return result
    }

    /// Log-probability of each token after the first.
    func logprobs(of tokens: [Int32]) -> [Double] {
        var hidden = tokens.map { matrix("token_embd.weight")[Int($0)] }
        for layer in shape.layers.indices { hidden = run(layer, hidden) }
        return (0..<tokens.count - 1).map { position in
            let output = shape.tiesOutput ? "token_embd.weight" : "output.weight"
            let logits = apply(output, norm("output_norm.weight", hidden[position]))
            let maximum = logits.max() ?? 0
            let total = logits.reduce(0) { $0 + exp($1 - maximum) }
            return logits[Int(tokens[position + 1])] - maximum - log(total)
        }
    }

    private func run(_ layer: Int, _ hidden: [[Double]]) -> [[Double]] {
        let normed = hidden.map { norm("blk.\(layer).attn_norm.weight", $0) }
        let queries = normed.enumerated().map { position, row in
            heads(layer, "q", row).map { rotate($0, position: position) }
        }
        let keys = normed.enumerated().map { position, row in
            heads(layer, "k", row).map { rotate($0, position: position) }
        }
        let values = normed.map { heads(layer, "v", $0) }
        return hidden.indices.map { position in
            let attended = (0..<heads.queryHeads).flatMap { head in
                let shared = head / heads.groupSize
                let reference = AttentionFormula(
                    AttentionParameters(
                        heads: heads, scale: 1 / Float(heads.headSize).squareRoot()))
                return reference.attend(
                    query: queries[position][head], keys: keys.flatMap { $0[shared] },
                    values: values.flatMap { $0[shared] }, position: position, contextLength: 0, head: head)
            }
            let afterAttention = add(hidden[position], apply("blk.\(layer).attn_output.weight", attended))
            let input = norm("blk.\(layer).ffn_norm.weight", afterAttention)
            let gated = zip(apply("blk.\(layer).ffn_gate.weight", input), apply("blk.\(layer).ffn_up.weight", input))
                .map { gate, up in gate / (1 + exp(-gate)) * up }
            return add(afterAttention, apply("blk.\(layer).ffn_down.weight", gated))
        }
    }
}
