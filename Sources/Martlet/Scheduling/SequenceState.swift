// SPDX-License-Identifier: Apache-2.0

/// A request, by the number the engine gave it.
package struct RequestID: Hashable, Sendable {
    package let number: UInt64
    package init(_ number: UInt64) { self.number = number }
}

/// Which sequence comes first: that of the lower priority number, then the earlier one.
package struct SchedulingOrder: Comparable, Sendable {
    package let priority: Int
    package let arrival: UInt64

    package static func < (left: SchedulingOrder, right: SchedulingOrder) -> Bool {
        (left.priority, left.arrival) < (right.priority, right.arrival)
    }
}

/// One sample of a request: its tokens, how many of them the cache holds, and the blocks that hold them.
///
/// The scheduler alone changes it; the runner of a step reads it.
package final class SequenceState {
    package let request: ValidatedRequest
    package let requestID: RequestID
    package let sampleIndex: Int
    package let order: SchedulingOrder
    /// The prompt's and the answer's.
    package private(set) var tokens: [Int32]
    /// Tokens whose K and V are in the blocks once all planned steps have run.
    package internal(set) var computedCount = 0
    /// Tokens that planned steps draw and that aren't known yet: one at most, or two while a step is planned beside another.
    package internal(set) var pendingCount = 0
    /// How often its blocks were taken back. Steps planned before that compute it in vain.
    private(set) var withdrawals = 0
    /// Blocks for the computed tokens, a table for each group of layers.
    package internal(set) var blockTables: [BlockTable]
    /// The row of the batch's block tables that is its own while it runs.
    package internal(set) var tableRow = 0
    /// The first index of the block tables that no planned step has written to its rows.
    package internal(set) var firstChangedBlock = 0
    package internal(set) var chain: PrefixCache.Chain
    package internal(set) var isRunning = false
    /// Behind the last position whose score is known: a preempted prompt isn't scored twice.
    package internal(set) var scoredEnd = 0
    /// Counts for penalties; nil where the request asks for none.
    package private(set) var history: TokenHistory?
    /// Whether it was admitted before.
    package private(set) var hasBegun = false
    /// Tokens found in the prefix cache when it was first admitted.
    package internal(set) var cachedCount = 0

    init(request: ValidatedRequest, requestID: RequestID, sampleIndex: Int, order: SchedulingOrder, groups: Int) {
        self.request = request
        self.requestID = requestID
        self.sampleIndex = sampleIndex
        self.order = order
        tokens = request.promptTokens
        blockTables = Array(repeating: BlockTable(), count: groups)
        chain = PrefixCache.Chain(salt: request.cacheSalt)
    }

    /// Makes room for all of it: from here on a step allocates nothing. What only waits shares its prompt with the
    /// request, however many samples there are.
    func begin(blockSize: Int) {
        guard !hasBegun else { return }
        hasBegun = true
        let length = promptCount + request.maxTokens
        tokens.reserveCapacity(length)
        for group in blockTables.indices {
            blockTables[group].blocks.reserveCapacity((length + blockSize - 1) / blockSize)
        }
        if request.hasPenalties {
            history = TokenHistory(prompt: request.promptTokens, answerLength: request.maxTokens)
        }
    }

    /// A sample that scores its prompt computes all of it; the other samples need not.
    package var readsPrefixCache: Bool { sampleIndex > 0 || request.scoredPositions.isEmpty }

    package var promptCount: Int { request.promptTokens.count }
    package var answerCount: Int { tokens.count - promptCount }
    /// Whether the prompt is only scored: then its last token need not be computed.
    private var isScoredOnly: Bool { request.maxTokens == 0 }
    /// Tokens of the answer, those included that planned steps draw.
    var plannedAnswerCount: Int { answerCount + pendingCount }
    /// Tokens to compute before the next one can be drawn; 0 where planned steps complete the answer.
    package var remainingCount: Int {
        if isScoredOnly { return max(1, tokens.count - 1) - computedCount }
        return plannedAnswerCount < request.maxTokens ? tokens.count + pendingCount - computedCount : 0
    }

    /// The positions among those of a step whose logits are wanted for the prompt's sake.
    package func scoredPositions(_ range: Range<Int>) -> Range<Int> {
        guard sampleIndex == 0, answerCount == 0 else { return range.lowerBound..<range.lowerBound }
        let first = max(request.scoredPositions.lowerBound, scoredEnd)
        return range.clamped(to: first..<max(first, request.scoredPositions.upperBound))
    }

    /// Whether a step that is planned to compute up to `end` draws the next token.
    func samples(upTo end: Int) -> Bool { end == tokens.count + pendingCount && !isScoredOnly }

    /// Whether its answer so far ends in these tokens.
    package func endsIn(_ ending: ArraySlice<Int32>) -> Bool {
        ending.count <= answerCount && tokens[(tokens.count - ending.count)...] == ending
    }

    /// Takes a planned step's share as computed.
    func advance(past share: ScheduledSequence) {
        computedCount = share.positions.upperBound
        if share.samples { pendingCount += 1 }
        firstChangedBlock = blockTables[0].blocks.count
    }

    /// Appends the token that a planned step has drawn.
    func append(_ token: Int32) {
        pendingCount -= 1
        tokens.append(token)
        history?.count(token)
    }

    /// Back to nothing computed, and what planned steps compute of it is in vain. Its tokens stay.
    func forgetComputation() {
        computedCount = 0
        pendingCount = 0
        withdrawals += 1
        for group in blockTables.indices { blockTables[group].removeAll() }
        firstChangedBlock = 0
        chain = PrefixCache.Chain(salt: request.cacheSalt)
        isRunning = false
    }
}
