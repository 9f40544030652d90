// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// Counts values by the first bound that they don't exceed.
final class Histogram: Sendable {
    struct Contents: Equatable, Sendable {
        /// One a bound, and one for what exceeds all of them.
        var counts: [Int]
        var sum = 0.0
    }

    let bounds: [Double]
    private let contents: Mutex<Contents>

    init(_ bounds: [Double]) {
        self.bounds = bounds
        contents = Mutex(Contents(counts: Array(repeating: 0, count: bounds.count + 1)))
    }

    func observe(_ value: Double) {
        let bucket = bounds.firstIndex { value <= $0 } ?? bounds.count
        contents.withLock {
            $0.counts[bucket] += 1
            $0.sum += value
        }
    }

    var current: Contents { contents.withLock { $0 } }

    /// vLLM's bounds of counts: 1, 2, 5, 10, … up to a largest.
    static func counts(upTo largest: Int) -> [Double] {
        var bounds: [Double] = []
        var decade = 1
        while true {
            for step in [1, 2, 5] {
                guard step * decade <= largest else { return bounds }
                bounds.append(Double(step * decade))
            }
            decade *= 10
        }
    }
}
