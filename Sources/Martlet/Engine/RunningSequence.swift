// SPDX-License-Identifier: Apache-2.0

import MartletCompute

/// A sequence while it is computed: its tokens, how many of them the cache holds, and the blocks that hold them.
struct RunningSequence {
    private(set) var tokens: [Int32]
    private(set) var computedCount = 0
    private(set) var blockTable: [Int32] = []

    init(tokens: [Int32]) { self.tokens = tokens }

    var hasUncomputedTokens: Bool { computedCount < tokens.count }

    mutating func append(_ token: Int32) { tokens.append(token) }

    /// Runs the next tokens, at most the runner's budget, taking blocks as they are needed.
    ///
    /// - Parameter sampling: how to draw after each position, or nil where its logits aren't wanted.
    mutating func step(
        on runner: ModelRunner, blocks: inout BlockPool, sampling: (_ position: Int) -> SamplingRow?
    ) throws(EngineError) -> [SampledToken] {
        let range = computedCount..<min(tokens.count, computedCount + runner.capacity.tokens)
        while blockTable.count * runner.blockSize < range.upperBound {
            guard let block = blocks.allocate() else {
                throw EngineError(.contextExceeded, "the KV cache has no free block")
            }
            blockTable.append(block)
        }
        let logitRows = range.compactMap { position in
            sampling(position).map {
                ScheduledSequence.LogitRow(offset: position - range.lowerBound, sampling: $0)
            }
        }
        let scheduled = ScheduledSequence(
            tokens: tokens[range], contextLength: range.lowerBound, blockTable: blockTable, logitRows: logitRows)
        let samples = runner.run([scheduled])
        computedCount = range.upperBound
        return samples
    }
}
