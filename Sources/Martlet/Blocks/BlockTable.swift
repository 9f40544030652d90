// SPDX-License-Identifier: Apache-2.0

/// A sequence's blocks in one group of layers.
package struct BlockTable: Sendable {
    /// By index, `blockSize` tokens each; 0 where the sequence holds none.
    package internal(set) var blocks: [Int32] = []
    /// The blocks before this index are out of the window, and not the sequence's.
    package internal(set) var firstHeld = 0

    package init(_ blocks: [Int32] = []) { self.blocks = blocks }

    package var held: ArraySlice<Int32> { blocks[firstHeld...] }

    package mutating func append(_ block: Int32) { blocks.append(block) }

    mutating func removeAll() {
        blocks.removeAll(keepingCapacity: true)
        firstHeld = 0
    }
}
