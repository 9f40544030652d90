// SPDX-License-Identifier: Apache-2.0

/// Decides who computes how many tokens in each step, and who holds which blocks of the KV cache.
///
/// A state machine without clock, thread or device: requests are added and cancelled, `schedule` plans a step,
/// `update` takes what the step found out. The same calls give the same plans.
///
/// A step may be planned before the one ahead of it is updated, but only one: its sequences go on from where the planned
/// steps bring them. If a sequence ends in the update (by a stop token, a failure or a cancellation), the step already
/// planned computes it in vain. That harms no one: its last block is free and unknown to the prefix cache, and the next
/// holder writes each slot in a later step before it reads it.
///
/// A step is filled in this order: running sequences that wait for one token only; running prompts; waiting sequences.
/// A sequence that finds no block preempts the last one, which computes its tokens anew later.
package struct Scheduler {
    package let configuration: SchedulerConfiguration
    package internal(set) var pool: BlockPool
    package internal(set) var statistics = SchedulerStatistics()
    /// By order.
    package internal(set) var running: [SequenceState] = []
    var waiting = WaitingQueue()
    /// The samples of each request that aren't finished.
    var requests: [RequestID: [SequenceState]] = [:]
    private var arrivals: UInt64 = 0
    /// Rows of the batch's block tables that no running sequence has.
    private var freeTableRows: [Int]

    package init(configuration: SchedulerConfiguration, pool: BlockPool) {
        self.configuration = configuration
        self.pool = pool
        freeTableRows = (0..<configuration.maxNumSeqs).reversed()
        running.reserveCapacity(configuration.maxNumSeqs)
    }

    package var hasWork: Bool { !requests.isEmpty }
    /// Whether a sample of the request isn't finished.
    package func isServing(_ id: RequestID) -> Bool { requests[id] != nil }
    package var waitingCount: Int { waiting.count }
    package var waitingSequences: [SequenceState] { (0..<waiting.count).map { waiting[$0] } }

    /// Queues a request's samples.
    ///
    /// - Precondition: the id is new, and the pool could hold one of the samples.
    package mutating func add(_ request: ValidatedRequest, id: RequestID) {
        precondition(requests[id] == nil, "two requests with one id")
        precondition(
            pool.mostBlocks(
                upTo: request.promptTokens.count + request.maxTokens, stepLength: configuration.maxNumBatchedTokens)
                <= pool.blockCount, "it can never fit")
        requests[id] = (0..<request.sampleCount).map { index in
            arrivals += 1
            let order = SchedulingOrder(
                priority: configuration.policy == .priority ? request.priority : 0, arrival: arrivals)
            let sequence = SequenceState(
                request: request, requestID: id, sampleIndex: index, order: order, groups: pool.groups.count)
            waiting.insert(sequence)
            return sequence
        }
    }

    /// Ends a request, or one of its samples, without an event. Unknown ids are ignored: it may just have finished.
    ///
    /// - Returns: how many samples ended.
    @discardableResult package mutating func cancel(_ id: RequestID, sample: Int? = nil) -> Int {
        let ended = (requests[id] ?? []).filter { sample == nil || sample == $0.sampleIndex }
        for sequence in ended { remove(sequence) }
        return ended.count
    }

    /// Plans the next step into `plan`, in place of what it holds; it is empty where there is nothing to do.
    package mutating func schedule(into plan: inout StepPlan) {
        plan.removeAll()
        var step = Step(budget: configuration.maxNumBatchedTokens, prefillWork: .infinity)
        swap(&step.plan, &plan)
        scheduleRunning(&step, decodes: true)
        if step.plan.decodeCount > 0 { step.prefillWork = configuration.prefillWork }
        scheduleRunning(&step, decodes: false)
        // A sequence that was just preempted shall have the blocks that become free.
        if !step.hasPreempted { admitWaiting(&step) }
        for entry in step.plan.entries { entry.sequence.advance(past: entry) }
        swap(&step.plan, &plan)
    }

    /// A step while it is planned, and what is left of its limits.
    private struct Step {
        var plan = StepPlan()
        var budget: Int
        /// What prompts may still cost.
        var prefillWork: Double
        var hasPreempted = false
    }

    private mutating func scheduleRunning(_ step: inout Step, decodes: Bool) {
        var index = 0
        while index < running.count, step.budget > 0 {
            let sequence = running[index]
            index += 1
            guard (sequence.remainingCount == 1) == decodes else { continue }
            let count = decodes ? 1 : chunk(of: sequence, step)
            guard count > 0 else { continue }
            // Those that are preempted come after this one, so the indices before it stay as they are.
            guard allocate(for: sequence, count: count, &step) else { continue }
            append(sequence, count, isDecode: decodes && sequence.plannedAnswerCount > 0, &step)
        }
    }

    /// Prompt tokens that the step has room for.
    private func chunk(of sequence: SequenceState, _ step: Step) -> Int {
        guard step.budget > 0, step.prefillWork > 0 else { return 0 }
        var count = min(sequence.remainingCount, step.budget)
        if configuration.longPrefillTokenThreshold > 0 { count = min(count, configuration.longPrefillTokenThreshold) }
        guard step.prefillWork < .infinity else { return count }
        return min(count, configuration.tokenCount(costing: step.prefillWork, context: sequence.computedCount))
    }

    private mutating func append(_ sequence: SequenceState, _ count: Int, isDecode: Bool, _ step: inout Step) {
        step.budget -= count
        if !isDecode { step.prefillWork -= configuration.work(of: count, context: sequence.computedCount) }
        step.plan.append(ScheduledSequence(sequence, count: count, isDecode: isDecode))
    }

    /// Gets the blocks for a running sequence's next tokens. False where it was preempted itself.
    private mutating func allocate(for sequence: SequenceState, count: Int, _ step: inout Step) -> Bool {
        while !extendTable(of: sequence, count: count) {
            step.hasPreempted = true
            guard let last = running.last, last !== sequence else {
                preempt(sequence)
                return false
            }
            step.budget += step.plan.remove(last)
            preempt(last)
        }
        return true
    }

    /// False where the pool can't give all the blocks; those that it could stay with the sequence.
    private mutating func extendTable(of sequence: SequenceState, count: Int) -> Bool {
        for group in pool.groups.indices {
            while sequence.blockTables[group].blocks.count * pool.blockSize < sequence.computedCount + count {
                guard let block = pool.allocate(after: sequence.blockTables[group].blocks.last) else { return false }
                sequence.blockTables[group].append(block)
            }
        }
        return true
    }

    /// Sends a running sequence back to the queue, without its blocks.
    package mutating func preempt(_ sequence: SequenceState) {
        guard sequence.isRunning else { return }
        statistics.preemptions += 1
        release(sequence)
        waiting.insert(sequence)
    }

    /// Takes a running sequence's blocks and its row of the block tables.
    mutating func release(_ sequence: SequenceState) {
        if let index = running.firstIndex(where: { $0 === sequence }) { running.remove(at: index) }
        pool.release(&sequence.blockTables)
        freeTableRows.append(sequence.tableRow)
        sequence.forgetComputation()
    }

    private mutating func admitWaiting(_ step: inout Step) {
        var index = 0
        while index < waiting.count, running.count < configuration.maxNumSeqs, step.budget > 0, step.prefillWork > 0 {
            let sequence = waiting[index]
            let leader = leader(of: sequence)
            if let leader, leader.computedCount < shareableBlocks(of: sequence) * pool.blockSize {
                // Its sibling is about to compute the prompt for it.
                index += 1
                continue
            }
            // As a whole or not at all: a prompt that is read to its middle only to be preempted was read in vain.
            let prefix = sharedPrefix(of: sequence, leader: leader)
            guard blocksNeeded(by: sequence, prefix) + promisedBlocks <= pool.freeCount else { return }
            waiting.remove(at: index)
            sequence.isRunning = true
            // As many rows as sequences may run.
            sequence.tableRow = freeTableRows.removeLast()
            running.insert(sequence, at: running.firstIndex { sequence.order < $0.order } ?? running.count)
            take(prefix, for: sequence)
            let count = chunk(of: sequence, step)
            let hasBlocks = extendTable(of: sequence, count: count)
            precondition(hasBlocks, "blocks were counted before")
            append(sequence, count, isDecode: false, &step)
        }
    }

    /// The sample that computes the prompt for a sequence that hasn't begun.
    private func leader(of sequence: SequenceState) -> SequenceState? {
        guard sequence.sampleIndex > 0, sequence.answerCount == 0, let first = requests[sequence.requestID]?.first,
            first.sampleIndex == 0
        else { return nil }
        return first
    }

    /// Blocks at its beginning that others can have computed for it: full ones, and never that of the last token, whose
    /// logits it needs.
    private func shareableBlocks(of sequence: SequenceState) -> Int { (sequence.tokens.count - 1) / pool.blockSize }

    /// Free blocks that running prompts will still take.
    private var promisedBlocks: Int {
        running.reduce(0) { sum, sequence in
            let most = mostBlocks(of: sequence) { sequence.blockTables[$0].firstHeld }
            return sum + max(0, most - sequence.blockTables.reduce(0) { $0 + $1.held.count })
        }
    }

    /// Blocks that it holds at most until it has its next token, where its tables begin at `first`.
    private func mostBlocks(of sequence: SequenceState, first: (_ group: Int) -> Int) -> Int {
        pool.mostBlocks(
            upTo: sequence.computedCount + sequence.remainingCount, stepLength: configuration.maxNumBatchedTokens,
            first: first)
    }

    /// Free blocks that it takes until it has its next token. What is shared and free is taken like any other block.
    private func blocksNeeded(by sequence: SequenceState, _ prefix: SharedPrefix?) -> Int {
        guard let prefix else { return mostBlocks(of: sequence) { _ in 0 } }
        let end = prefix.blocks * pool.blockSize
        return mostBlocks(of: sequence) { pool.firstBlock(of: $0, readFrom: end) } - prefix.held + prefix.free
    }

    /// The beginning of a sequence that others have computed.
    private func sharedPrefix(of sequence: SequenceState, leader: SequenceState?) -> SharedPrefix? {
        let limit = shareableBlocks(of: sequence)
        if let leader, let prefix = pool.prefix(of: leader.blockTables, count: limit) { return prefix }
        guard sequence.readsPrefixCache else { return nil }
        return pool.cachedPrefix(of: sequence.tokens, salt: sequence.request.cacheSalt, limit: limit)
    }

    private mutating func take(_ prefix: SharedPrefix?, for sequence: SequenceState) {
        if let prefix {
            sequence.computedCount = prefix.blocks * pool.blockSize
            pool.take(prefix, chain: &sequence.chain, into: &sequence.blockTables)
        }
        if sequence.readsPrefixCache, sequence.sampleIndex == 0, !sequence.hasBegun {
            statistics.prefixCacheQueries += sequence.tokens.count
            statistics.prefixCacheHits += sequence.computedCount
            sequence.cachedCount = sequence.computedCount
        }
        sequence.begin(blockSize: pool.blockSize)
    }
}

/// What a scheduler has counted since its start, in tokens where nothing else is said.
package struct SchedulerStatistics: Equatable, Sendable {
    /// Times that a sequence was sent back.
    package var preemptions = 0
    /// Prompt tokens looked for in the prefix cache.
    package var prefixCacheQueries = 0
    package var prefixCacheHits = 0
    /// Tokens of prompts that were read, cached ones included.
    package var promptTokens = 0
    package var generatedTokens = 0
}
