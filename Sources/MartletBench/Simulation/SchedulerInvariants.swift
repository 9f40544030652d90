// SPDX-License-Identifier: Apache-2.0

import Martlet

/// What holds between any two steps, and of any plan.
struct SchedulerInvariants {
    /// The first that doesn't hold.
    static func violation(_ scheduler: borrowing Scheduler) -> String? {
        let pool = scheduler.pool
        var holders = [Int](repeating: 0, count: pool.blockCount + 1)
        var first: [Int32: (sequence: SequenceState, group: Int, index: Int)] = [:]
        for sequence in scheduler.running {
            for (group, table) in sequence.blockTables.enumerated() {
                if table.blocks.count * pool.blockSize < sequence.computedCount { return "blocks are missing" }
                if table.blocks[..<table.firstHeld].contains(where: { $0 != 0 }) {
                    return "a block was half given back"
                }
                for index in table.held.indices {
                    let block = table.blocks[index]
                    holders[Int(block)] += 1
                    guard let other = first[block] else {
                        first[block] = (sequence, group, index)
                        continue
                    }
                    let range = 0..<(index + 1) * pool.blockSize
                    guard other.index == index, other.group == group, other.sequence !== sequence,
                        min(sequence.computedCount, other.sequence.computedCount) >= range.upperBound,
                        min(sequence.tokens.count, other.sequence.tokens.count) >= range.upperBound,
                        sequence.tokens[range] == other.sequence.tokens[range]
                    else { return "block \(block) is in two tables, and not for the same full tokens" }
                }
            }
            let held = sequence.blockTables.reduce(0) { $0 + $1.held.count }
            let end = sequence.blockTables.reduce(0) { max($0, $1.blocks.count) } * pool.blockSize
            if held > pool.mostBlocks(upTo: end, stepLength: scheduler.configuration.maxNumBatchedTokens) {
                return "blocks are held that no token reads"
            }
        }
        for block in 0...pool.blockCount where holders[block] != pool.holderCount(of: Int32(block)) {
            return "block \(block) is in \(holders[block]) tables and counts \(pool.holderCount(of: Int32(block)))"
        }
        if holders[0] > 0 || pool.freeBlocks.contains(0) { return "block 0 is given out" }
        if Set(scheduler.running.map(\.tableRow)).count != scheduler.running.count {
            return "two sequences have one row"
        }
        let free = pool.freeBlocks
        if free.count != pool.freeCount || Set(free).count != free.count { return "the free list is broken" }
        if free.contains(where: { holders[Int($0)] > 0 }) { return "a block in use is free" }
        if free.count + holders.count(where: { $0 > 0 }) != pool.blockCount { return "a block is lost" }
        return violation(ofPrefixesOf: pool) ?? violation(ofQueues: scheduler)
    }

    private static func violation(ofPrefixesOf pool: borrowing BlockPool) -> String? {
        for block in 0...Int32(pool.blockCount) where pool.prefixCache.holds(block) {
            if let owner = pool.prefixCache.owner(of: block) {
                let isKnown = pool.groups.indices.dropFirst().contains {
                    pool.prefixCache.companion(of: owner, group: $0) == block
                }
                guard isKnown, pool.prefixCache.holds(owner) else {
                    return "block \(block) stands beside one that isn't cached"
                }
            } else if pool.groups[0].window == nil, !pool.prefixCache.isReachable(block) {
                // Where the first group has a window, its first blocks are given out for others before its last ones.
                return "block \(block) is cached behind one that isn't"
            }
        }
        return nil
    }

    private static func violation(ofQueues scheduler: borrowing Scheduler) -> String? {
        let waiting = scheduler.waitingSequences
        if waiting.contains(where: {
            $0.isRunning || $0.blockTables.contains { !$0.blocks.isEmpty } || $0.computedCount > 0
        }) {
            return "a waiting sequence holds something"
        }
        if !scheduler.running.allSatisfy(\.isRunning) { return "a running sequence doesn't know it" }
        for queue in [waiting, scheduler.running]
        where zip(queue, queue.dropFirst()).contains(where: { $1.order < $0.order }) {
            return "a queue is out of order"
        }
        if scheduler.running.count > scheduler.configuration.maxNumSeqs { return "too many sequences run" }
        return nil
    }

    /// The first that doesn't hold of a plan that was just made.
    ///
    /// - Parameters:
    ///   - running: the sequences that ran before it was made.
    ///   - hasPreempted: whether a sequence was preempted for it.
    ///   - isAhead: whether another step was planned and not updated before.
    static func violation(
        of plan: StepPlan, _ scheduler: borrowing Scheduler, running: [SequenceState], hasPreempted: Bool, isAhead: Bool
    ) -> String? {
        let configuration = scheduler.configuration
        if plan.tokenCount > configuration.maxNumBatchedTokens { return "the budget is exceeded" }
        if plan.entries.reduce(0, { $0 + $1.tokenCount }) != plan.tokenCount { return "tokens are miscounted" }
        if plan.entries.count(where: \.isDecode) != plan.decodeCount { return "decodes are miscounted" }
        if Set(plan.entries.map { ObjectIdentifier($0.sequence) }).count != plan.entries.count { return "one twice" }
        var work = 0.0
        var largest = 0.0
        for entry in plan.entries {
            let sequence = entry.sequence
            guard entry.isCurrent, !entry.positions.isEmpty, sequence.remainingCount >= 0,
                sequence.computedCount == entry.positions.upperBound,
                (0...2).contains(sequence.pendingCount), isAhead || sequence.pendingCount <= 1
            else { return "an entry has \(entry.positions), and \(sequence.remainingCount) tokens remain" }
            if sequence.tokens.count + sequence.pendingCount > sequence.promptCount + sequence.request.maxTokens {
                return "an answer is planned beyond its end"
            }
            let threshold = configuration.longPrefillTokenThreshold
            if threshold > 0, entry.tokenCount > threshold { return "a chunk is over the threshold" }
            // A single token that completes a prompt is always planned, so it doesn't count as work.
            if !entry.isDecode, (entry.samples ? 0 : sequence.remainingCount) + entry.tokenCount > 1 {
                work += configuration.work(of: entry.tokenCount, context: entry.positions.lowerBound)
                largest = max(largest, configuration.work(of: 1, context: sequence.tokens.count))
            }
        }
        if plan.decodeCount > 0, work > configuration.prefillWork + largest { return "prompts take too much of a step" }
        if scheduler.hasWork, plan.isEmpty, !isAhead { return "there is work, and nobody gets any" }
        // Budget is never short for those who wait for one token.
        let planned = Set(plan.entries.map { ObjectIdentifier($0.sequence) })
        if scheduler.running.contains(where: { $0.remainingCount == 1 && !planned.contains(ObjectIdentifier($0)) }) {
            return "an answer is kept waiting"
        }
        if let first = scheduler.running.first, first.remainingCount > 0, !planned.contains(ObjectIdentifier(first)),
            plan.tokenCount < configuration.maxNumBatchedTokens, !hasPreempted, plan.decodeCount == 0
        {
            return "whoever comes first gets nothing"
        }
        let before = Set(running.map(ObjectIdentifier.init))
        if hasPreempted, !scheduler.running.allSatisfy({ before.contains(ObjectIdentifier($0)) }) {
            return "somebody is admitted in another's place"
        }
        return nil
    }
}
