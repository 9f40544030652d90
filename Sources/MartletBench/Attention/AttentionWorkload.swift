// SPDX-License-Identifier: Apache-2.0

package import MartletCompute

/// What an attention benchmark computes.
package struct AttentionWorkload: Sendable {
    /// Sequences of one shape.
    package struct Group: Hashable, Sendable, CustomStringConvertible {
        package var queryLength: Int
        package var length: Int
        package var count: Int

        package init(queryLength: Int, length: Int, count: Int = 1) {
            self.queryLength = queryLength
            self.length = length
            self.count = count
        }

        package var description: String { "\(count > 1 ? "\(count) of " : "")\(queryLength) x \(length)" }
    }

    /// Where a sequence's cache blocks lie.
    package enum BlockOrder: String, Sendable, CaseIterable {
        /// Each sequence's blocks anywhere in the cache.
        case random
        /// One after another.
        case ascending
    }

    package var parameters: AttentionParameters
    package var format: CacheFormat
    package var blockSize: Int
    package var blockOrder: BlockOrder
    package var groups: [Group]

    package init(
        _ parameters: AttentionParameters, format: CacheFormat, blockSize: Int, blockOrder: BlockOrder, groups: [Group]
    ) {
        self.parameters = parameters
        self.format = format
        self.blockSize = blockSize
        self.blockOrder = blockOrder
        self.groups = groups
    }

    package var tokens: Int { groups.reduce(0) { $0 + $1.queryLength * $1.count } }
    package var sequenceCount: Int { groups.reduce(0) { $0 + $1.count } }
    var blocksPerSequence: Int { groups.map { blocks($0.length) }.max() ?? 1 }
    var blockCount: Int { groups.reduce(0) { $0 + blocks($1.length) * $1.count } }

    private func blocks(_ length: Int) -> Int { (length + blockSize - 1) / blockSize }

    /// Bytes of K and V that one layer's queries see.
    package var visibleBytes: Int {
        let heads = parameters.heads
        return groups.reduce(0) { sum, group in
            let first = group.length - group.queryLength
            let keys = parameters.visibility.visibleRange(
                of: first...max(first, group.length - 1), length: group.length)
            return sum + keys.count * group.count
        } * heads.keyValueHeads * format.byteCount(headSize: heads.headSize)
    }

    /// Operations of one layer: a multiplication and an addition for each element of each visible key and value.
    package var operations: Int {
        groups.reduce(0) { sum, group in
            let pairs = (group.length - group.queryLength..<group.length).reduce(0) { pairs, position in
                pairs + parameters.visibility.visibleRange(of: position...position, length: group.length).count
            }
            return sum + pairs * group.count
        } * parameters.heads.queryHeads * parameters.heads.headSize * 4
    }

    /// Whether it is decodes alone, which the memory bounds; anything else the multipliers bound.
    package var isDecode: Bool { groups.allSatisfy { $0.queryLength == 1 } }
}
