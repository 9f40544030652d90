// SPDX-License-Identifier: Apache-2.0

/// The blocks of the KV cache that no sequence holds.
struct BlockPool {
    private var free: [Int32]
    let blockCount: Int

    init(blockCount: Int) {
        self.blockCount = blockCount
        // Taken from the end: low blocks first, so that a sequence gets an ascending run.
        free = (0..<Int32(blockCount)).reversed()
    }

    /// Takes a block, or nil where there is none.
    ///
    /// - Complexity: O(1)
    mutating func allocate() -> Int32? { free.popLast() }

    /// Takes blocks back, the sequence's last one first, so that they are handed out again in ascending order.
    mutating func release(_ blocks: [Int32]) {
        free.append(contentsOf: blocks.reversed())
        assert(free.count <= blockCount, "a block was released twice")
    }
}
