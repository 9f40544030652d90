// SPDX-License-Identifier: Apache-2.0

import DequeModule

/// Sequences that hold no blocks, those first that come first. A preempted one stands where it stood.
struct WaitingQueue {
    private var entries: Deque<SequenceState> = []

    var count: Int { entries.count }

    /// The sequence at a place.
    subscript(_ place: Int) -> SequenceState { entries[place] }

    /// - Complexity: O(log n) comparisons, O(n) to make room; O(1) for the last to come.
    mutating func insert(_ sequence: SequenceState) { entries.insert(sequence, at: place(of: sequence.order)) }

    mutating func remove(at place: Int) { entries.remove(at: place) }

    mutating func remove(_ sequence: SequenceState) {
        let place = place(of: sequence.order)
        if place < entries.count, entries[place] === sequence { entries.remove(at: place) }
    }

    /// Where the first entry stands that doesn't come before `order`.
    private func place(of order: SchedulingOrder) -> Int {
        var (low, high) = (0, entries.count)
        while low < high {
            let middle = (low + high) / 2
            if entries[middle].order < order { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
