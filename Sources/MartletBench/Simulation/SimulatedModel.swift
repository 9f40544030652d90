// SPDX-License-Identifier: Apache-2.0

import Martlet
import MartletCompute

/// A model whose next token is a hash of all tokens before it, and whose cache holds, in each slot, the hash that stands
/// there. A step that reads a wrong, stale or unwritten slot is found out.
final class SimulatedModel: StepRunner {
    struct Fault: Error {}

    static let vocabularySize = 9
    static let endToken: Int32 = 0

    private let seed: UInt64
    private let blockSize: Int
    /// `[blocks * blockSize]`, block 0 included: the hash of all tokens up to the slot's own.
    private var memory: [UInt64]
    /// By table row: what steps have written there, as the batch's buffers hold it.
    private var tables: [Int: [Int32]] = [:]
    /// What the next step shall do wrong.
    var failsStep = false
    var failsSequence: Int?
    /// The first wrong thing that a step was asked to do.
    private(set) var mistake: String?
    var isExclusive: (Int32) -> Bool = { _ in true }

    init(seed: UInt64, blockCount: Int, blockSize: Int) {
        self.seed = seed
        self.blockSize = blockSize
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

    func run(_ plan: StepPlan, into output: inout StepOutput) throws {
        output.removeAll()
        for (index, entry) in plan.entries.enumerated() { run(entry, index, &output) }
        if failsStep { throw Fault() }
    }

    private func run(_ entry: ScheduledSequence, _ index: Int, _ output: inout StepOutput) {
        let sequence = entry.sequence
        let range = sequence.computedCount..<sequence.computedCount + entry.tokenCount
        guard range.upperBound <= sequence.tokens.count,
            range.upperBound <= sequence.blockTable.count * blockSize
        else { return note("\(range) is more than the sequence's tokens or blocks") }
        let table = writeTable(of: sequence)
        let scored = sequence.scoredPositions(range)
        var hash = seed
        for position in 0..<range.upperBound {
            hash = self.hash(hash, then: sequence.tokens[position])
            let block = table[position / blockSize]
            let slot = Int(block) * blockSize + position % blockSize
            guard position >= range.lowerBound else {
                if memory[slot] != hash { note("position \(position) reads a slot that holds something else") }
                continue
            }
            if !isExclusive(block) { note("position \(position) is written to block \(block), which others may read") }
            // A step that fails may have written anything.
            memory[slot] = failsStep ? hash ^ 1 : hash
            if scored.contains(position) {
                var row = StepOutput.Row(entry: index, position: position, isSample: false)
                row.sampled.token = next(after: hash, sample: 0)
                row.sampled.targetLogprob = score(of: sequence.tokens[position + 1], after: hash)
                output.rows.append(row)
            }
        }
        if sequence.samples(upTo: range.upperBound) {
            var row = StepOutput.Row(entry: index, position: range.upperBound - 1, isSample: true)
            row.sampled.token =
                failsSequence == index ? SampledToken.notFinite : next(after: hash, sample: sequence.sampleIndex)
            output.rows.append(row)
        }
    }

    /// Writes what the sequence says has changed of its row. The row must then be its table, and name block 0 nowhere.
    private func writeTable(of sequence: SequenceState) -> [Int32] {
        var table = tables[sequence.tableRow] ?? []
        table.removeLast(max(0, table.count - sequence.blockTable.count))
        for index in sequence.firstChangedBlock..<sequence.blockTable.count {
            if index < table.count {
                table[index] = sequence.blockTable[index]
            } else {
                table.append(sequence.blockTable[index])
            }
        }
        if table != sequence.blockTable { note("a table's row holds other blocks than the table") }
        if table.contains(0) { note("block 0 is somebody's") }
        tables[sequence.tableRow] = sequence.blockTable
        return sequence.blockTable
    }

    private func note(_ text: String) { mistake = mistake ?? text }
}
