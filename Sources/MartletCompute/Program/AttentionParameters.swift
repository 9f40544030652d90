// SPDX-License-Identifier: Apache-2.0

/// The heads of an attention layer; a row of q|k|v is `[queryHeads + 2 * keyValueHeads, headSize]`.
public struct AttentionHeads: Hashable, Sendable {
    public let queryHeads: Int
    public let keyValueHeads: Int
    public let headSize: Int

    /// - Precondition: `queryHeads` is a multiple of `keyValueHeads`; all are positive.
    public init(queryHeads: Int, keyValueHeads: Int, headSize: Int) {
        precondition(queryHeads > 0 && keyValueHeads > 0 && headSize > 0 && queryHeads % keyValueHeads == 0)
        self.queryHeads = queryHeads
        self.keyValueHeads = keyValueHeads
        self.headSize = headSize
    }

    /// Query heads that share a KV head.
    public var groupSize: Int { queryHeads / keyValueHeads }
    /// Columns of a q|k|v row.
    public var queryKeyValueColumns: Int { (queryHeads + 2 * keyValueHeads) * headSize }
    /// Columns of an output row.
    public var outputColumns: Int { queryHeads * headSize }
}

/// What attention computes, besides `softmax(scale * q . K) V`. Scores are scaled, capped, masked and biased in this
/// order; a sink joins the softmax after that.
///
/// Prefix ranges and the query-query bias belong to a step: they are in `BatchBuffers`.
public struct AttentionParameters: Hashable, Sendable {
    public var heads: AttentionHeads
    /// What `q . k` is multiplied with, usually `1 / sqrt(headSize)`. Positive.
    public var scale: Float
    /// c in `c * tanh(score / c)`.
    public var softcap: Float?
    public var visibility = AttentionVisibility()
    public var alibi: ALiBi?
    /// `[queryHeads]`: a logit of each head that takes its share of the softmax and adds no value.
    public var sinks: Weight?

    /// What queries are rounded to; nil: bf16 beside a cache of bf16 or 8 bits, else f32. Queries of 8 bits meet
    /// the cache's codes as they are: its scales go to the scores and the output.
    public var queryFormat: FloatFormat?
    /// What queries of 8 bits are divided by before they are rounded.
    public var queryScale: Float = 1
    /// What K and V are divided by before an 8-bit cache keeps them, and multiplied with when they are read, rounded
    /// to the queries' format.
    public var keyScale: Float = 1
    public var valueScale: Float = 1
    /// What the output is rounded to, after a division by `outputScale`.
    public var outputFormat = FloatFormat.float32
    public var outputScale: Float = 1

    public init(heads: AttentionHeads, scale: Float) {
        self.heads = heads
        self.scale = scale
    }

    /// The format that queries are rounded to beside a cache of the given format.
    public func queryFormat(beside cache: CacheFormat) -> FloatFormat {
        queryFormat ?? (cache.fitsBFloat16 ? .bfloat16 : .float32)
    }
}

/// A bias that falls with the distance between key and query (Press et al., 2021).
public struct ALiBi: Hashable, Sendable {
    /// `[queryHeads]`
    public var slopes: [Float]
    /// Subtracts `slope * sqrt(distance)` instead of `slope * distance`.
    public var usesSquareRoot: Bool

    public init(slopes: [Float], usesSquareRoot: Bool = false) {
        self.slopes = slopes
        self.usesSquareRoot = usesSquareRoot
    }
}

/// Which keys a query sees: those that cause and scope both allow, and those that share a prefix range with it.
public struct AttentionVisibility: Hashable, Sendable {
    /// Which keys a query sees for their distance.
    public enum Scope: Hashable, Sendable {
        case all
        /// That many keys, the query's own included; where later keys are seen too, that many on either side.
        case window(Int)
        /// The keys of a query's own chunk and of the `lookback` chunks before it.
        case chunks(length: Int, lookback: Int)
    }

    /// Whether a query sees no later key.
    public var isCausal = true
    public var scope = Scope.all

    public init(isCausal: Bool = true, scope: Scope = .all) {
        self.isCausal = isCausal
        self.scope = scope
    }

    /// Whether the query at one position sees the key at another, prefix ranges apart.
    public func sees(query: Int, key: Int) -> Bool {
        guard !isCausal || key <= query else { return false }
        switch scope {
        case .all: return true
        case .window(let length): return abs(query - key) < length
        case .chunks(let length, let lookback): return query / length - key / length <= lookback
        }
    }

    /// The keys, of `length` that exist, between the first and the last that some query of `positions` sees. The one
    /// place that the planner knows hidden keys from: a scope that hides keys at either end belongs here too.
    public func visibleRange(of positions: ClosedRange<Int>, length: Int) -> Range<Int> {
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
