// SPDX-License-Identifier: Apache-2.0

/// Which entries of the block tables a batch's memory lacks, because a step in another memory wrote them.
package struct MissedBlocks {
    /// By row of the block tables; `.max` where nothing is lacking.
    private var first: [Int]

    package init(rows: Int) { first = Array(repeating: .max, count: rows) }

    /// Notes what a step writes in another memory.
    package mutating func noteWritten(elsewhere plan: StepPlan) {
        for entry in plan.entries {
            let row = entry.sequence.tableRow
            first[row] = min(first[row], entry.firstChangedBlock)
        }
    }

    /// Says from which index on this memory's step has to write a sequence's row. Nothing is lacking there afterwards.
    package mutating func takeFirst(of entry: ScheduledSequence) -> Int {
        let row = entry.sequence.tableRow
        defer { first[row] = .max }
        return min(entry.firstChangedBlock, first[row])
    }
}
