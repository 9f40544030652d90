// SPDX-License-Identifier: Apache-2.0

import Glibc

/// Attention written as its formula, in f64 over contiguous arrays: what the kernels are held against.
public enum AttentionReference {
    /// `softmax(scale * q . K^T) V` of one query row of one head, over keys `0 ... position`.
    ///
    /// - Parameters:
    ///   - query: `[headSize]`
    ///   - keys, values: `[tokens][headSize]`
    public static func attend(
        query: [Double], keys: [[Double]], values: [[Double]], position: Int, scale: Double
    ) -> [Double] {
        let scores = (0...position).map { key in
            scale * zip(query, keys[key]).reduce(0) { $0 + $1.0 * $1.1 }
        }
        let maximum = scores.max() ?? 0
        let weights = scores.map { exp($0 - maximum) }
        let total = weights.reduce(0, +)
        return query.indices.map { element in
            (0...position).reduce(0) { $0 + weights[$1] * values[$1][element] } / total
        }
    }
}
