// SPDX-License-Identifier: Apache-2.0

import Glibc
package import MartletCompute

/// Attention written as its formula, in f64 over contiguous arrays: what the kernels are held against.
///
/// Queries, keys and values are taken as they are: the caller has rounded them.
package struct AttentionFormula {
    package var parameters: AttentionParameters
    /// `[queryHeads]`
    package var sinks: [Float]?
    package var prefixRanges: [PrefixRange] = []
    /// `[query token of the step][query token of the step]`
    package var queryQueryBias: [[Float]] = []

    package init(_ parameters: AttentionParameters, sinks: [Float]? = nil) {
        self.parameters = parameters
        self.sinks = sinks
    }

    /// The output of one query row of one head, before it is rounded.
    ///
    /// - Parameters:
    ///   - query: `[headSize]`
    ///   - keys, values: `[sequence length, headSize]`
    ///   - position: the query's, in its sequence.
    ///   - contextLength: the sequence's tokens before this step's.
    package func attend(
        query: [Double], keys: [Double], values: [Double], position: Int, contextLength: Int, head: Int
    ) -> [Double] {
        let size = query.count
        let length = keys.count / size
        var scores: [Double] = []
        var seen: [Int] = []
        for key in 0..<length where sees(query: position, key: key) {
            var dot = 0.0
            for element in 0..<size { dot += query[element] * keys[key * size + element] }
            scores.append(score(dot, position: position, key: key, contextLength: contextLength, head: head))
            seen.append(key)
        }
        let sink = sinks.map { Double($0[head]) } ?? -.infinity
        let maximum = max(scores.max() ?? -.infinity, sink)
        var output = [Double](repeating: 0, count: size)
        guard maximum > -.infinity else { return output }
        var total = exp(sink - maximum)
        for (score, key) in zip(scores, seen) {
            let weight = exp(score - maximum)
            total += weight
            for element in 0..<size { output[element] += weight * values[key * size + element] }
        }
        return output.map { $0 / total }
    }

    private func sees(query: Int, key: Int) -> Bool {
        parameters.visibility.sees(query: query, key: key)
            || prefixRanges.contains { range in
                range.first < range.last && (Int(range.first)...Int(range.last)).contains(query)
                    && (Int(range.first)...Int(range.last)).contains(key)
            }
    }

    private func score(_ dot: Double, position: Int, key: Int, contextLength: Int, head: Int) -> Double {
        var score = dot * Double(parameters.scale)
        if let cap = parameters.softcap { score = Double(cap) * tanh(score / Double(cap)) }
        if let alibi = parameters.alibi {
            let distance = Double(key - position)
            let slope = Double(alibi.slopes[head])
            score += slope * (alibi.usesSquareRoot ? -max(0, -distance).squareRoot() : distance)
        }
        let (row, column) = (position - contextLength, key - contextLength)
        if queryQueryBias.indices.contains(row), queryQueryBias[row].indices.contains(column) {
            score += Double(queryQueryBias[row][column])
        }
        return score
    }
}
