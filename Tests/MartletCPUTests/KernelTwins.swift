// SPDX-License-Identifier: Apache-2.0

import CMartletKernels
import Foundation
import MartletCPU
import MartletCompute

/// The plain Swift twin of single loops in `CMartletKernels`: slow, obvious, in f64 where rounding isn't the point. Whole
/// kernels are compared with the reference device.
enum KernelTwins {
    /// A row in blocks of 32: the integers, and the scale of each block.
    struct QuantizedRow: Equatable {
        var values: [Int32] = []
        var scales: [Float] = []
    }

    /// x = scale * q with q within a format's limit; nearest, ties to even.
    static func quantize(_ row: [Float], _ format: MartletActivations) -> QuantizedRow {
        let limit: Float =
            switch format {
            case .int8: 127
            case .int16: 32_639
            case .words: Float(MARTLET_LARGEST_ACTIVATION_WORD)
            case .bfloat16: preconditionFailure("bf16 is rounded, not quantised")
            }
        var result = QuantizedRow()
        for start in stride(from: 0, to: row.count, by: 32) {
            let block = row[start..<min(start + 32, row.count)]
            let largest = block.map(abs).max() ?? 0
            let inverse = largest > 0x1p-100 ? limit / largest : 0
            result.values += block.map { Int32(($0 * inverse).rounded(.toNearestOrEven)) }
            result.scales.append(largest / limit)
        }
        return result
    }

    /// What panels of words keep of a row of weights: in blocks of 32 multiples of a power of two, the largest of them
    /// 4096 to 8192 times it; NaN where the block isn't finite.
    static func words(_ row: [Float]) -> [Float] {
        stride(from: 0, to: row.count, by: 32).flatMap { start in
            let block = row[start..<min(start + 32, row.count)]
            guard block.allSatisfy(\.isFinite) else { return block.map { _ in Float.nan } }
            let largest = max(block.map(abs).max() ?? 0, .leastNormalMagnitude)
            let scale = Float(sign: .plus, exponent: max(largest.exponent - 12, -126), significand: 1)
            return block.map { ($0 / scale).rounded(.toNearestOrEven) * scale }
        }
    }

    /// Each block's scale times the sum of its integers: a 4-bit block's minimum is multiplied with it.
    static func blockSums(_ row: QuantizedRow) -> [Float] {
        row.scales.enumerated().map { block, scale in
            scale * Float(row.values[block * 32..<block * 32 + 32].reduce(0, +))
        }
    }

    /// `input . weights[output]` for every output.
    static func linear(_ input: [Double], _ weights: [[Float]]) -> [Double] {
        weights.map { zip($0, input).reduce(0) { $0 + Double($1.0) * $1.1 } }
    }

    static func rootMeanSquareNorm(_ input: [Float], _ weight: [Float], epsilon: Float) -> [Double] {
        let squares = input.reduce(0) { $0 + Double($1) * Double($1) }
        let factor = 1 / (squares / Double(input.count) + Double(epsilon)).squareRoot()
        return zip(input, weight).map { Double($0) * factor * Double($1) }
    }

    static func siluAndMultiply(gate: [Float], up: [Float]) -> [Double] {
        zip(gate, up).map { Double($0) / (1 + exp(-Double($0))) * Double($1) }
    }

    /// Turns adjacent pairs, those of the first `2 * angles.count` elements.
    static func rotate(_ head: [Float], angles: [Double]) -> [Double] {
        var result = head.map(Double.init)
        for (pair, angle) in angles.enumerated() {
            let (a, b) = (Double(head[2 * pair]), Double(head[2 * pair + 1]))
            result[2 * pair] = a * cos(angle) - b * sin(angle)
            result[2 * pair + 1] = a * sin(angle) + b * cos(angle)
        }
        return result
    }

    /// Index and value of the largest finite value, of equals the first; nil where none is finite.
    static func argumentOfMaximum(_ values: [Float]) -> (index: Int, value: Float)? {
        var best: (index: Int, value: Float)?
        for (index, value) in values.enumerated() where value.isFinite && value > best?.value ?? -.infinity {
            best = (index, value)
        }
        return best
    }

    static func sumOfExponentials(_ values: [Float], maximum: Float, factor: Float) -> Double {
        values.filter(\.isFinite).reduce(0) { $0 + exp((Double($1) - Double(maximum)) * Double(factor)) }
    }

    /// Logits after a mask, biases, and penalties by what the prompt and the answer hold.
    static func edited(
        _ logits: [Float], _ row: SamplingRow, allowed: Set<Int32>? = nil, biases: [TokenBias] = [],
        prompt: [Int32] = [], answer: [Int32] = []
    ) -> [Float] {
        var logits = logits
        for token in logits.indices {
            let id = Int32(token)
            if let allowed, !allowed.contains(id) { logits[token] = -.infinity }
            for bias in biases where bias.token == id { logits[token] += bias.bias }
            let count = answer.count { $0 == id }
            if count > 0 || prompt.contains(id) {
                logits[token] *= logits[token] > 0 ? 1 / row.repetitionPenalty : row.repetitionPenalty
            }
            logits[token] -= row.frequencyPenalty * Float(count) + (count > 0 ? row.presencePenalty : 0)
        }
        return logits
    }

    /// The probability of each token under a row's parameters: temperature, min-p, top-k, top-p.
    static func probabilities(_ logits: [Float], _ row: SamplingRow) -> [Double] {
        guard let top = argumentOfMaximum(logits) else { return logits.map { _ in 0 } }
        guard row.temperature > 0 else { return logits.indices.map { $0 == top.index ? 1 : 0 } }
        var weights = logits.map { logit in
            logit.isFinite ? exp((Double(logit) - Double(top.value)) / Double(row.temperature)) : 0
        }
        for token in weights.indices where weights[token] < Double(row.minP) { weights[token] = 0 }
        let order = weights.indices.sorted { (weights[$1], $0) < (weights[$0], $1) }
        if row.topK > 0 { for token in order.dropFirst(Int(row.topK)) { weights[token] = 0 } }
        let total = weights.reduce(0, +)
        var sum = 0.0
        for token in order {
            if row.topP < 1, sum >= Double(row.topP) * total { weights[token] = 0 }
            sum += weights[token]
        }
        let kept = weights.reduce(0, +)
        return weights.map { $0 / kept }
    }
}
