// SPDX-License-Identifier: Apache-2.0

/// The heads of an attention layer; a row of q|k|v is `[queryHeads + 2 * keyValueHeads, headSize]`.
package struct AttentionHeads: Hashable, Sendable {
    package let queryHeads: Int
    package let keyValueHeads: Int
    package let headSize: Int

    /// - Precondition: `queryHeads` is a multiple of `keyValueHeads`; all are positive.
    package init(queryHeads: Int, keyValueHeads: Int, headSize: Int) {
        precondition(queryHeads > 0 && keyValueHeads > 0 && headSize > 0 && queryHeads % keyValueHeads == 0)
        self.queryHeads = queryHeads
        self.keyValueHeads = keyValueHeads
        self.headSize = headSize
    }

    /// Query heads that share a KV head.
    package var groupSize: Int { queryHeads / keyValueHeads }
    /// Columns of a q|k|v row.
    package var queryKeyValueColumns: Int { (queryHeads + 2 * keyValueHeads) * headSize }
    /// Columns of an output row.
    package var outputColumns: Int { queryHeads * headSize }
}

/// What attention computes, besides `softmax(scale * q . K) V`. Scores are scaled, capped, masked and biased in this
/// order; a sink joins the softmax after that.
///
/// Prefix ranges and the query-query bias belong to a step: they are in `BatchBuffers`.
package struct AttentionParameters: Hashable, Sendable {
    package var heads: AttentionHeads
    /// What `q . k` is multiplied with, usually `1 / sqrt(headSize)`. Positive.
    package var scale: Float
    /// c in `c * tanh(score / c)`.
    package var softcap: Float?
    package var visibility = AttentionVisibility()
    package var alibi: ALiBi?
    /// `[queryHeads]`: a logit of each head that takes its share of the softmax and adds no value.
    package var sinks: Weight?

    /// What queries are rounded to; nil: bf16 beside a cache of bf16 or 8 bits, else f32. Queries of 8 bits meet
    /// the cache's codes as they are: its scales go to the scores and the output.
    package var queryFormat: FloatFormat?
    /// What queries of 8 bits are divided by before they are rounded.
    package var queryScale: Float = 1
    /// What K and V are divided by before an 8-bit cache keeps them, and multiplied with when they are read, rounded
    /// to the queries' format.
    package var keyScale: Float = 1
    package var valueScale: Float = 1
    /// What the output is rounded to, after a division by `outputScale`.
    package var outputFormat = FloatFormat.float32
    package var outputScale: Float = 1

    package init(heads: AttentionHeads, scale: Float) {
        self.heads = heads
        self.scale = scale
    }

    /// The format that queries are rounded to beside a cache of the given format.
    package func queryFormat(beside cache: CacheFormat) -> FloatFormat {
        queryFormat ?? (cache.fitsBFloat16 ? .bfloat16 : .float32)
    }
}

/// A bias that falls with the distance between key and query (Press et al., 2021).
package struct ALiBi: Hashable, Sendable {
    /// `[queryHeads]`
    package var slopes: [Float]
    /// Subtracts `slope * sqrt(distance)` instead of `slope * distance`.
    package var usesSquareRoot: Bool

    package init(slopes: [Float], usesSquareRoot: Bool = false) {
        self.slopes = slopes
        self.usesSquareRoot = usesSquareRoot
    }
}

/// Which keys a query sees: those that cause and scope both allow, and those that share a prefix range with it.
package struct AttentionVisibility: Hashable, Sendable {
    /// Which keys a query sees for their distance.
    package enum Scope: Hashable, Sendable {
        case all
        /// That many keys, the query's own included; where later keys are seen too, that many on either side.
        case window(Int)
        /// The keys of a query's own chunk and of the `lookback` chunks before it.
        case chunks(length: Int, lookback: Int)
    }

    /// Whether a query sees no later key.
    package var isCausal = true
    package var scope = Scope.all

    package init(isCausal: Bool = true, scope: Scope = .all) {
        self.isCausal = isCausal
        self.scope = scope
    }

    /// Whether the query at one position sees the key at another, prefix ranges apart.
    package func sees(query: Int, key: Int) -> Bool {
        guard !isCausal || key <= query else { return false }
        switch scope {
        case .all: return true
        case .window(let length): return abs(query - key) < length
        case .chunks(let length, let lookback): return query / length - key / length <= lookback
        }
    }

    /// The keys, of `length` that exist, between the first and the last that some query of `positions` sees. The one
    /// place that the planner knows hidden keys from: a scope that hides keys at either end belongs here too.
    package func visibleRange(of positions: ClosedRange<Int>, length: Int) -> Range<Int> {
        let (first, last) = (positions.lowerBound, positions.upperBound)
        var (lower, upper) = (0, isCausal ? last + 1 : length)
        switch scope {
        case .all: break
        case .window(let window):
            lower = first - window + 1
            if !isCausal { upper = last + window }
        case .chunks(let length, let lookback): lower = (first / length - lookback) * length
        }
        upper = min(upper, length)
        return min(max(lower, 0), upper)..<upper
    }
}
