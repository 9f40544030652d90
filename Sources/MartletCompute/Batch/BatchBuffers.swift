// SPDX-License-Identifier: Apache-2.0

/// How much a step may hold. All of it is allocated once, at start.
public struct BatchCapacity: Hashable, Sendable {
    public var tokens: Int
    public var sequences: Int
    /// Cache blocks of one sequence.
    public var blocksPerSequence: Int
    /// Rows of one head submission.
    public var logitRows: Int
    /// Partial results of attention, one a row and segment. A tile whose partials don't fit is not split.
    public var partials: Int
    /// Prefix ranges of one sequence.
    public var prefixRanges: Int
    /// Rows and columns of the query-query bias.
    public var queryQueryBias: Int
    /// Likeliest tokens reported a logit row.
    public var topLogprobs: Int
    /// Changes to logits, a sequence.
    public var logitEdits: LogitEdits.Capacity
    /// Plans of attention, one for each of the programs' groups.
    public var attentionPlans: Int

    public init(
        tokens: Int, sequences: Int, blocksPerSequence: Int, logitRows: Int, partials: Int = 4096,
        prefixRanges: Int = 0, queryQueryBias: Int = 0, topLogprobs: Int = 0,
        logitEdits: LogitEdits.Capacity = .none, attentionPlans: Int = 1
    ) {
        precondition(tokens > 0 && sequences > 0 && blocksPerSequence > 0 && logitRows > 0)
        precondition(attentionPlans > 0)
        precondition(partials >= 0 && prefixRanges >= 0 && queryQueryBias >= 0 && topLogprobs >= 0)
        self.tokens = tokens
        self.sequences = sequences
        self.blocksPerSequence = blocksPerSequence
        self.logitRows = logitRows
        self.partials = partials
        self.prefixRanges = prefixRanges
        self.queryQueryBias = queryQueryBias
        self.topLogprobs = topLogprobs
        self.logitEdits = logitEdits
        self.attentionPlans = attentionPlans
    }

    /// About what the buffers take whose size is a product of two of these.
    package var byteCount: Int {
        let edits = sequences * (logitEdits.biases + logitEdits.counts + logitEdits.vocabularySize / 4) * 8
        let logprobs = logitRows * topLogprobs * 8
        return sequences * (blocksPerSequence * 4 + prefixRanges * 8) + edits + logprobs
    }
}

/// The fixed buffers that a step's geometry and inputs are written to, and that kernels read when they run.
///
/// ```
///   sequence s    |<------- context ------->|<--- query --->|
///   positions      0                         c               sequenceLengths[s]
///   rows of the step      queryStartLocations[s] ..< queryStartLocations[s + 1]
/// ```
///
/// One thread writes between steps; the device reads during one.
public final class BatchBuffers {
    public let capacity: BatchCapacity

    public var tokenCount = 0
    public var sequenceCount = 0
    public var logitRowCount = 0
    /// Rows including the padding up to the size that the step's graph was captured for. Kernels may compute padding; its
    /// results are never read.
    public private(set) var paddedTokenCount = 0
    public private(set) var paddedLogitRowCount = 0

    /// `[tokens]`
    public let tokenIDs: UnsafeMutableBufferPointer<Int32>
    /// `[tokens]`: the token's place in its sequence.
    public let positions: UnsafeMutableBufferPointer<Int32>
    /// `[tokens]`: `block * blockSize + offset` where the token's K and V go; negative: nowhere.
    public let slotMapping: UnsafeMutableBufferPointer<Int64>
    /// `[sequences + 1]`
    public let queryStartLocations: UnsafeMutableBufferPointer<Int32>
    /// `[sequences]`: keys a sequence has, this step's included.
    public let sequenceLengths: UnsafeMutableBufferPointer<Int32>
    /// `[sequences, blocksPerSequence]`
    public let blockTables: UnsafeMutableBufferPointer<Int32>
    /// `[sequences, prefixRanges]`: positions that see each other whatever else hides them, both ends included; none
    /// where the last is not after the first.
    public let prefixRanges: UnsafeMutableBufferPointer<PrefixRange>
    /// `[queryQueryBias, queryQueryBias]`: what is added to the score of a query token of a sequence's step (row) for
    /// another (column). Shared by all sequences. Those that it is meant for have all their new tokens in one step.
    public let queryQueryBias: UnsafeMutableBufferPointer<Float>
    /// Rows and columns in use; 0: no bias. Rows stand `capacity.queryQueryBias` apart.
    public var queryQueryBiasExtent = 0
    /// `[logitRows]`: rows of the step.
    public let logitRows: UnsafeMutableBufferPointer<Int32>
    /// `[logitRows]`
    public let sampling: UnsafeMutableBufferPointer<SamplingRow>
    /// `[logitRows]`, written by the device.
    public let samples: UnsafeMutableBufferPointer<SampledToken>
    /// `[logitRows, topLogprobs]`, written by the device: a row's likeliest tokens, likeliest first, as many as it asks
    /// for; of equals the lowest id first. Where fewer logits are finite, the rest are tokens -1.
    public let topLogprobs: UnsafeMutableBufferPointer<TokenLogprob>
    /// By sequence of the step.
    public let logitEdits: LogitEdits
    /// `[attentionPlans]`
    public let plans: UnsafeMutableBufferPointer<AttentionPlan>

    public init(capacity: BatchCapacity) {
        self.capacity = capacity
        tokenIDs = .allocate(capacity.tokens, 0)
        positions = .allocate(capacity.tokens, 0)
        slotMapping = .allocate(capacity.tokens, -1)
        queryStartLocations = .allocate(capacity.sequences + 1, 0)
        sequenceLengths = .allocate(capacity.sequences, 0)
        blockTables = .allocate(capacity.sequences * capacity.blocksPerSequence, -1)
        logitRows = .allocate(capacity.logitRows, 0)
        sampling = .allocate(capacity.logitRows, .greedy)
        samples = .allocate(capacity.logitRows, SampledToken())
        topLogprobs = .allocate(capacity.logitRows * capacity.topLogprobs, TokenLogprob(token: -1, logprob: 0))
        logitEdits = LogitEdits(capacity: capacity.logitEdits, sequences: capacity.sequences)
        prefixRanges = .allocate(capacity.sequences * capacity.prefixRanges, PrefixRange(first: 0, last: 0))
        queryQueryBias = .allocate(capacity.queryQueryBias * capacity.queryQueryBias, 0)
        plans = .allocate(capacity: capacity.attentionPlans)
        for index in plans.indices { plans.initializeElement(at: index, to: AttentionPlan(capacity: capacity)) }
    }

    deinit {
        tokenIDs.deallocate()
        positions.deallocate()
        slotMapping.deallocate()
        queryStartLocations.deallocate()
        sequenceLengths.deallocate()
        blockTables.deallocate()
        logitRows.deallocate()
        sampling.deallocate()
        samples.deallocate()
        topLogprobs.deallocate()
        prefixRanges.deallocate()
        queryQueryBias.deallocate()
        for plan in plans { plan.deallocate() }
        plans.deallocate()
    }

    /// Makes the rows behind the step's own, up to `count`, those of a token 0 that belongs to no sequence and is
    /// written nowhere.
    public func padTokens(to count: Int) {
        paddedTokenCount = max(count, tokenCount)
        for row in tokenCount..<paddedTokenCount {
            tokenIDs[row] = 0
            positions[row] = 0
            slotMapping[row] = -1
        }
    }

    /// Makes the logit rows behind the step's own, up to `count`, copies of row 0 that nothing is drawn from.
    public func padLogitRows(to count: Int) {
        paddedLogitRowCount = max(count, logitRowCount)
        for row in logitRowCount..<paddedLogitRowCount { logitRows[row] = 0 }
    }

    /// The sequence's query rows, in the step's tokens.
    public func rows(of sequence: Int) -> Range<Int> {
        Int(queryStartLocations[sequence])..<Int(queryStartLocations[sequence + 1])
    }

    /// The sequence's tokens before this step's.
    public func contextLength(of sequence: Int) -> Int {
        Int(sequenceLengths[sequence]) - rows(of: sequence).count
    }
}

/// Positions that see each other, both ends included.
public struct PrefixRange: Equatable, Sendable {
    public var first: Int32
    public var last: Int32

    public init(first: Int32, last: Int32) {
        self.first = first
        self.last = last
    }
}

extension UnsafeMutableBufferPointer {
    /// A buffer whose elements all are `value`.
    static func allocate(_ count: Int, _ value: Element) -> UnsafeMutableBufferPointer<Element> {
        let buffer = allocate(capacity: count)
        buffer.initialize(repeating: value)
        return buffer
    }
}
