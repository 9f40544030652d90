// SPDX-License-Identifier: Apache-2.0

import Martlet
import MartletCompute

/// A model whose next token is a hash of all tokens before it, and whose cache holds, in each slot of each group, the hash
/// that stands there. A step that reads a wrong, stale or unwritten slot is found out.
final class SimulatedModel: StepRunner {
    static let vocabularySize = 9
    static let endToken: Int32 = 0

    private let seed: UInt64
    private let blockSize: Int
    private let groups: [CacheGroup]
    /// `[blocks * blockSize]`, block 0 included: the hash of all tokens up to the slot's own.
    private var memory: [UInt64]
    /// The row of a step that is no number.
    var failsSequence: Int?
    /// The first wrong thing that a step was asked to do.
    private(set) var mistake: String?
    private var prepared: Memory
    private var submitted: Memory
    let preparesAhead: Bool

    /// The memory of a batch.
    private struct Memory {
        var entries: [Entry] = []
        /// By table row: what steps have written there.
        var tables: [Int: [[Int32]]] = [:]
        var missedBlocks: MissedBlocks
    }

    /// What a device is told of a sequence's share of a step.
    private struct Entry {
        let tables: [[Int32]]
        /// Up to the last position of the step.
        var tokens: [Int32] = []
        /// Positions whose logits are wanted for the prompt's sake.
        let scored: Range<Int>
    }

    init(seed: UInt64, blockCount: Int, blockSize: Int, groups: [CacheGroup], rows: Int, preparesAhead: Bool) {
        prepared = Memory(missedBlocks: MissedBlocks(rows: rows))
        submitted = prepared
        self.seed = seed
        self.preparesAhead = preparesAhead
        self.blockSize = blockSize
        self.groups = groups
        memory = Array(repeating: 0, count: (blockCount + 1) * blockSize)
    }

    func populate(_ blocks: Range<Int>) {}

    func hash(_ hash: UInt64, then token: Int32) -> UInt64 {
        DrawKey.mix(hash &* 31 &+ UInt64(token) &+ 0x9e37_79b9_7f4a_7c15)
    }

    /// One token in twelve ends the answer.
    func next(after hash: UInt64, sample: Int) -> Int32 {
        let draw = DrawKey.mix(hash ^ seed ^ UInt64(sample) << 32)
        return draw % 12 == 0 ? Self.endToken : Int32(1 + draw / 12 % UInt64(Self.vocabularySize - 1))
    }

    func score(of token: Int32, after hash: UInt64) -> Float { Float(DrawKey.mix(hash ^ UInt64(token)) >> 40) }

    /// What a sample must be answered, whatever happens beside it.
    func answer(to prompt: [Int32], sample: Int, maxTokens: Int) -> [Int32] {
        var hash = prompt.reduce(seed) { self.hash($0, then: $1) }
        var answer: [Int32] = []
        while answer.count < maxTokens, answer.last != Self.endToken {
            answer.append(next(after: hash, sample: sample))
            hash = self.hash(hash, then: answer[answer.count - 1])
        }
        return answer
    }

    func prepare(_ plan: StepPlan) {
        if preparesAhead { submitted.missedBlocks.noteWritten(elsewhere: plan) }
        prepared.entries = plan.entries.map { entry in
            if entry.sequence.blockTables.contains(where: { entry.positions.upperBound > $0.blocks.count * blockSize })
            {
                note("\(entry.positions) is more than the sequence's blocks")
            }
            return Entry(tables: writeTables(of: entry), scored: entry.sequence.scoredPositions(entry.positions))
        }
    }

    func submit(_ plan: StepPlan) {
        if preparesAhead { swap(&prepared, &submitted) } else { submitted = prepared }
        for (index, entry) in plan.entries.enumerated() {
            var tokens = Array(entry.sequence.tokens.prefix(entry.positions.upperBound))
            if tokens.count < entry.positions.upperBound {
                if entry.isCurrent { note("a token of \(entry.positions) isn't known") }
                tokens.append(contentsOf: Array(repeating: 0, count: entry.positions.upperBound - tokens.count))
            }
            submitted.entries[index].tokens = tokens
        }
    }

    /// Fails the submitted step, which may have written anything.
    func spoil(_ plan: StepPlan) {
        for (entry, share) in zip(plan.entries, submitted.entries) {
            for table in share.tables {
                for position in entry.positions { memory[slot(of: position, in: table)] = 1 }
            }
        }
    }

    func finish(_ plan: StepPlan, into output: inout StepOutput) {
        output.removeAll()
        for (index, entry) in plan.entries.enumerated() { compute(entry, submitted.entries[index], index, &output) }
    }

    /// Notes where the submitted step writes to a block that another sequence could read. A current sequence must hold the
    /// block alone; a block written in vain must be free.
    func requireExclusiveBlocks(_ plan: StepPlan, _ pool: borrowing BlockPool) {
        for (entry, share) in zip(plan.entries, submitted.entries) {
            for table in share.tables {
                for position in entry.positions {
                    let block = table[position / blockSize]
                    if pool.holderCount(of: block) != (entry.isCurrent ? 1 : 0) || pool.prefixCache.holds(block) {
                        note("position \(position) is written to a block that others may read")
                    }
                }
            }
        }
    }

    private func slot(of position: Int, in table: [Int32]) -> Int {
        Int(table[position / blockSize]) * blockSize + position % blockSize
    }

    private func compute(_ entry: ScheduledSequence, _ share: Entry, _ index: Int, _ output: inout StepOutput) {
        var hash = seed
        for position in 0..<entry.positions.upperBound {
            hash = self.hash(hash, then: share.tokens[position])
            for (group, table) in share.tables.enumerated() {
                let content = hash ^ UInt64(group)
                guard position < entry.positions.lowerBound else {
                    memory[slot(of: position, in: table)] = content
                    continue
                }
                guard position >= groups[group].firstPosition(readFrom: entry.positions.lowerBound) else { continue }
                // A sequence whose step failed is computed in vain over what that step left.
                if memory[slot(of: position, in: table)] != content, entry.isCurrent {
                    note("position \(position) reads another's slot")
                }
            }
            guard position >= entry.positions.lowerBound else { continue }
            if share.scored.contains(position) {
                var row = StepOutput.Row(entry: index, position: position, isSample: false)
                row.sampled.token = next(after: hash, sample: 0)
                row.sampled.targetLogprob = score(of: entry.sequence.request.promptTokens[position + 1], after: hash)
                output.rows.append(row)
            }
        }
        if entry.samples {
            var row = StepOutput.Row(entry: index, position: entry.positions.upperBound - 1, isSample: true)
            row.sampled.token =
                failsSequence == index
                ? SampledToken.notFinite : next(after: hash, sample: entry.sequence.sampleIndex)
            output.rows.append(row)
        }
    }

    /// Writes the changed entries of the sequence's rows, and checks that the rows then name the blocks it holds.
    private func writeTables(of entry: ScheduledSequence) -> [[Int32]] {
        let sequence = entry.sequence
        var rows = prepared.tables[sequence.tableRow] ?? groups.map { _ in [] }
        let first = prepared.missedBlocks.takeFirst(of: entry)
        for (group, table) in sequence.blockTables.enumerated() {
            rows[group].append(
                contentsOf: repeatElement(-1, count: max(0, table.blocks.count - rows[group].count)))
            for index in table.held.indices where index >= first { rows[group][index] = table.blocks[index] }
            if rows[group][table.held.indices] != table.held { note("a table's row holds other blocks than the table") }
            if table.held.contains(0) { note("block 0 is somebody's") }
        }
        prepared.tables[sequence.tableRow] = rows
        return rows
    }

    private func note(_ text: String) { mistake = mistake ?? text }
}
