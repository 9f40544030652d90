// SPDX-License-Identifier: Apache-2.0

import DequeModule

/// Sequences that hold no blocks, those first that come first. A preempted one stands where it stood.
struct WaitingQueue {
    private var entries: Deque<SequenceState> = []

    var count: Int { entries.count }

    /// The sequence at an index.
    subscript(_ index: Int) -> SequenceState { entries[index] }

    /// - Complexity: O(log n) comparisons, O(n) to make room; O(1) for the last to come.
    mutating func insert(_ sequence: SequenceState) {
        entries.insert(sequence, at: firstIndex(notBefore: sequence.order))
    }

    mutating func remove(at index: Int) { entries.remove(at: index) }

    mutating func remove(_ sequence: SequenceState) {
        let index = firstIndex(notBefore: sequence.order)
        if index < entries.count, entries[index] === sequence { entries.remove(at: index) }
    }

    /// The index of the first entry that doesn't come before `order`.
    private func firstIndex(notBefore order: SchedulingOrder) -> Int {
        var (low, high) = (0, entries.count)
        while low < high {
            let middle = (low + high) / 2
            if entries[middle].order < order { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
