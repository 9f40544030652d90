// SPDX-License-Identifier: Apache-2.0

import MartletCompute

extension [CacheGroup] {
    /// Blocks that a sequence takes at most, in all groups, while steps of up to `stepLength` tokens compute it up to `end`.
    /// A window slides when a step has ended, and another step may be planned before: a group holds the tokens of two steps
    /// beside its window.
    ///
    /// - Parameter first: the index at which a group's table begins.
    package func mostBlocks(
        upTo end: Int, stepLength: Int, blockSize: Int, first: (_ group: Int) -> Int = { _ in 0 }
    ) -> Int {
        var sum = 0
        for group in indices {
            let all = Swift.max(0, (end + blockSize - 1) / blockSize - first(group))
            guard let window = self[group].window else {
                sum += all
                continue
            }
            let tokens = window + self[group].tile + 2 * Swift.min(stepLength, end)
            sum += Swift.min(all, (tokens + blockSize - 2) / blockSize + 1)
        }
        return sum
    }

    /// The longest sequence, of `limit` tokens at most, that `blocks` suffice for.
    ///
    /// - Complexity: O(log limit)
    package func longestSequence(in blocks: Int, limit: Int, stepLength: Int, blockSize: Int) -> Int {
        var (fits, tooLong) = (0, limit + 1)
        while tooLong - fits > 1 {
            let length = (fits + tooLong) / 2
            if mostBlocks(upTo: length, stepLength: stepLength, blockSize: blockSize) <= blocks {
                fits = length
            } else {
                tooLong = length
            }
        }
        return fits
    }
}
