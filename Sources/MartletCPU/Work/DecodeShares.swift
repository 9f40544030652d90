// SPDX-License-Identifier: Apache-2.0

package import MartletCompute

/// Decodes in a row, cut into shares of like work, one a thread.
///
/// A share ends where a KV head does, so that no two threads read its keys; of fewer decodes than threads it may end
/// within the query heads of one, which is cheaper than to wait for a thread that has one KV head more.
package struct DecodeShares {
    /// A decode and one of its query heads.
    package struct Place: Equatable {
        package var decode: Int
        package var head: Int

        package init(decode: Int, head: Int) {
            self.decode = decode
            self.head = head
        }
    }

    private let decodes: UnsafeBufferPointer<AttentionItem>
    private let queryHeads: Int
    /// Query heads that stay together.
    private let grain: Int
    private let work: Int
    /// How many there are, some of them maybe of nothing.
    package let count: Int

    /// - Parameter decodes: at least one.
    package init(decodes: UnsafeBufferPointer<AttentionItem>, heads: AttentionHeads, threadCount: Int) {
        self.decodes = decodes
        queryHeads = heads.queryHeads
        grain = decodes.count < threadCount ? 1 : heads.groupSize
        work = decodes.reduce(0) { $0 + $1.work }
        count = min(threadCount, decodes.count * queryHeads / grain)
    }

    /// Where a share begins, and the one before it ends.
    package func start(of share: Int) -> Place {
        var left = work * share / count
        for (decode, item) in decodes.enumerated() {
            if left < item.work {
                let grains = (left * (queryHeads / grain) + item.work / 2) / item.work
                let head = grains * grain
                return head < queryHeads ? Place(decode: decode, head: head) : Place(decode: decode + 1, head: 0)
            }
            left -= item.work
        }
        return Place(decode: decodes.count, head: 0)
    }
}
