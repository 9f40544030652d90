// SPDX-License-Identifier: Apache-2.0

import CMartletKernels
import Glibc
import MartletCompute

/// Turns a row of logits into a token. One for each worker: it owns that worker's scratch.
///
/// Logits that aren't finite can't be drawn; a row without any finite one yields no token.
struct Sampler {
    private let kernels: MartletKernelTable
    private let vocabularySize: Int
    /// `[vocabularySize]`: `e^((logit - maximum) / temperature)`, 0 for what is cut off.
    private let weights: DeviceMemory
    /// `[vocabularySize]`: `weight bits << 32 | ~id`, so that descending order is by weight, then by lowest id.
    private let candidates: DeviceMemory

    init(kernels: MartletKernelTable, vocabularySize: Int) throws(DeviceError) {
        self.kernels = kernels
        self.vocabularySize = vocabularySize
        weights = try DeviceMemory(byteCount: vocabularySize * 4)
        candidates = try DeviceMemory(byteCount: vocabularySize * 8)
    }

    func sample(_ logits: UnsafePointer<Float>, _ row: SamplingRow) -> SampledToken {
        var result = SampledToken()
        var maximum: Float = 0
        let likeliest = kernels.argumentOfMaximum(logits, Int64(vocabularySize), &maximum)
        guard likeliest >= 0 else { return result }
        let total = kernels.sumOfExponentials(logits, Int64(vocabularySize), maximum, 1, nil)
        func logprob(_ token: Int) -> Float {
            logits[token].isFinite ? Float(Double(logits[token] - maximum) - log(total)) : -.infinity
        }
        let token = row.temperature > 0 ? draw(logits, maximum, row) : Int(likeliest)
        result.token = Int32(token)
        result.logprob = logprob(token)
        if row.target >= 0 { result.targetLogprob = logprob(Int(row.target)) }
        return result
    }

    private func draw(_ logits: UnsafePointer<Float>, _ maximum: Float, _ row: SamplingRow) -> Int {
        let weights = weights.pointer(to: Float.self)
        _ = kernels.sumOfExponentials(logits, Int64(vocabularySize), maximum, 1 / row.temperature, weights)
        // The likeliest token's weight is 1.
        let least = max(row.minP, .leastNonzeroMagnitude)
        let uniform = row.key.uniform(draw: 0)
        guard row.topK > 0 || row.topP < 1 else {
            var total = 0.0
            for token in 0..<vocabularySize where weights[token] >= least { total += Double(weights[token]) }
            var rest = uniform * total
            var last = 0
            for token in 0..<vocabularySize where weights[token] >= least {
                last = token
                rest -= Double(weights[token])
                if rest < 0 { return token }
            }
            return last
        }
        return drawFromLikeliest(row, least: least, uniform: uniform)
    }

    private func drawFromLikeliest(_ row: SamplingRow, least: Float, uniform: Double) -> Int {
        let sorted = likeliest(row, least: least)
        func weight(_ index: Int) -> Double {
            Double(Float(bitPattern: UInt32(truncatingIfNeeded: sorted[index] >> 32)))
        }
        let kept = row.topK > 0 ? min(sorted.count, Int(row.topK)) : sorted.count
        var nucleus = kept
        if row.topP < 1 {
            // Of the k likeliest where top-k cuts too, of everything otherwise.
            let total = row.topK > 0 ? (0..<kept).reduce(0) { $0 + weight($1) } : sumOfWeights(least: least)
            var sum = 0.0
            nucleus =
                (0..<kept).first { index in
                    sum += weight(index)
                    return sum >= Double(row.topP) * total
                }.map { $0 + 1 } ?? kept
        }
        var rest = uniform * (0..<nucleus).reduce(0) { $0 + weight($1) }
        let chosen = (0..<nucleus).first { index in
            rest -= weight(index)
            return rest < 0
        }
        return Int(~UInt32(truncatingIfNeeded: sorted[chosen ?? nucleus - 1]))
    }

    private func sumOfWeights(least: Float) -> Double {
        let weights = weights.pointer(to: Float.self)
        return (0..<vocabularySize).reduce(0) { weights[$1] >= least ? $0 + Double(weights[$1]) : $0 }
    }

    /// At least the `topK` likeliest, or those that make up `topP`, likeliest first.
    ///
    /// Gathers what lies above a threshold that falls until enough does, so that a few hundred candidates are sorted
    /// and not the vocabulary.
    private func likeliest(_ row: SamplingRow, least: Float) -> UnsafeMutableBufferPointer<UInt64> {
        let weights = weights.pointer(to: Float.self)
        let candidates = candidates.pointer(to: UInt64.self)
        let needed = row.topK > 0 ? 0 : Double(row.topP) * sumOfWeights(least: least)
        var threshold: Float = 0x1p-6
        while true {
            let bound = max(threshold, least)
            var count = 0
            var sum = 0.0
            for token in 0..<vocabularySize where weights[token] >= bound {
                candidates[count] = UInt64(weights[token].bitPattern) << 32 | UInt64(~UInt32(token))
                count += 1
                sum += Double(weights[token])
            }
            let isEnough = row.topK > 0 ? count >= Int(row.topK) : sum >= needed
            if isEnough || threshold <= least {
                var found = UnsafeMutableBufferPointer(start: candidates, count: count)
                found.sort(by: >)
                return found
            }
            threshold *= 0x1p-6
        }
    }
}
