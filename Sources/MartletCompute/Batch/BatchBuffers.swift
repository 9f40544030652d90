// SPDX-License-Identifier: Apache-2.0

/// The fixed buffers that a step's geometry and inputs are written to, and that kernels read when they run.
///
/// ```
///   sequence s    |<------- context ------->|<--- query --->|
///   positions      0                         c               sequenceLengths[s]
///   rows of the step      queryStartLocations[s] ..< queryStartLocations[s + 1]
/// ```
///
/// One thread writes between steps; the device reads during one.
package final class BatchBuffers {
    package let capacity: BatchCapacity
    package let layout: BatchLayout
    /// What all buffers lie in.
    package let memory: any BatchMemory

    private let counts: UnsafeMutablePointer<BatchCounts>
    package var tokenCount: Int {
        get { Int(counts.pointee.tokens) }
        set { counts.pointee.tokens = Int32(newValue) }
    }
    package var sequenceCount: Int {
        get { Int(counts.pointee.sequences) }
        set { counts.pointee.sequences = Int32(newValue) }
    }
    package var logitRowCount: Int {
        get { Int(counts.pointee.logitRows) }
        set { counts.pointee.logitRows = Int32(newValue) }
    }
    /// Rows including the padding up to the size that the step's graph was captured for. Kernels may compute padding; its
    /// results are never read.
    package private(set) var paddedTokenCount = 0
    package private(set) var paddedLogitRowCount = 0

    /// `[tokens]`
    package let tokenIDs: UnsafeMutableBufferPointer<Int32>
    /// `[tokens]`: the token's position in its sequence.
    package let positions: UnsafeMutableBufferPointer<Int32>
    /// `[cacheGroups, tokens]`: `block * blockSize + offset` where the token's K and V go; negative: nowhere.
    package let slotMapping: UnsafeMutableBufferPointer<Int64>
    /// `[sequences + 1]`
    package let queryStartLocations: UnsafeMutableBufferPointer<Int32>
    /// `[sequences]`: keys a sequence has, this step's included.
    package let sequenceLengths: UnsafeMutableBufferPointer<Int32>
    /// `[sequences]`: the row of `blockTables` that is the sequence's, and stays so from step to step.
    package let tableRows: UnsafeMutableBufferPointer<Int32>
    /// `[cacheGroups, sequences, blocksPerSequence]`, by table row. Block 0 is reserved: no sequence has it.
    package let blockTables: UnsafeMutableBufferPointer<Int32>
    /// `[sequences, prefixRanges]`, in the batch's order of sequences: positions that see each other whatever else hides
    /// them, both ends included; none where the last is not after the first.
    package let prefixRanges: UnsafeMutableBufferPointer<PrefixRange>
    /// `[queryQueryBias, queryQueryBias]`: what is added to the score of a query token of a sequence's step (row) for
    /// another (column). Shared by all sequences. Those that it is meant for have all their new tokens in one step.
    package let queryQueryBias: UnsafeMutableBufferPointer<Float>
    /// Rows and columns in use; 0: no bias. Rows stand `capacity.queryQueryBias` apart.
    package var queryQueryBiasExtent: Int {
        get { Int(counts.pointee.queryQueryBiasExtent) }
        set { counts.pointee.queryQueryBiasExtent = Int32(newValue) }
    }
    /// `[logitRows]`: rows of the step.
    package let logitRows: UnsafeMutableBufferPointer<Int32>
    /// `[logitRows]`
    package let sampling: UnsafeMutableBufferPointer<SamplingRow>
    /// `[logitRows]`, written by the device.
    package let samples: UnsafeMutableBufferPointer<SampledToken>
    /// `[logitRows, topLogprobs]`, written by the device: a row's likeliest tokens, likeliest first, as many as it asks
    /// for; of equals the lowest id first. Where fewer logits are finite, the rest are tokens -1.
    package let topLogprobs: UnsafeMutableBufferPointer<TokenLogprob>
    /// By table row.
    package let logitEdits: LogitEdits
    /// `[attentionPlans]`
    package let plans: UnsafeMutableBufferPointer<AttentionPlan>

    /// - Parameter memory: `BatchLayout(capacity).byteCount` bytes or more.
    package init(capacity: BatchCapacity, memory: any BatchMemory) {
        self.capacity = capacity
        self.memory = memory
        layout = BatchLayout(capacity)
        precondition(memory.bytes.count >= layout.byteCount, "the memory is of a smaller batch")
        guard let counts = memory.pointer(to: layout.counts).baseAddress else {
            preconditionFailure("a batch has counts")
        }
        self.counts = counts
        tokenIDs = memory.pointer(to: layout.tokenIDs)
        positions = memory.pointer(to: layout.positions)
        slotMapping = memory.pointer(to: layout.slotMapping)
        queryStartLocations = memory.pointer(to: layout.queryStartLocations)
        sequenceLengths = memory.pointer(to: layout.sequenceLengths)
        tableRows = memory.pointer(to: layout.tableRows)
        blockTables = memory.pointer(to: layout.blockTables)
        logitRows = memory.pointer(to: layout.logitRows)
        sampling = memory.pointer(to: layout.sampling)
        samples = memory.pointer(to: layout.samples)
        topLogprobs = memory.pointer(to: layout.topLogprobs)
        logitEdits = LogitEdits(capacity: capacity.logitEdits, layout: layout, memory: memory)
        prefixRanges = memory.pointer(to: layout.prefixRanges)
        queryQueryBias = memory.pointer(to: layout.queryQueryBias)
        plans = .allocate(capacity: capacity.attentionPlans)
        for index in plans.indices {
            plans.initializeElement(
                at: index,
                to: AttentionPlan(layout.plans[index], partialCapacity: capacity.partials, memory: memory))
        }
        slotMapping.update(repeating: -1)
        sampling.update(repeating: .greedy)
        topLogprobs.update(repeating: TokenLogprob(token: -1, logprob: 0))
        samples.update(repeating: SampledToken())
        for sequence in tableRows.indices { tableRows[sequence] = Int32(sequence) }
    }

    /// Over memory of the host; traps where there is none.
    package convenience init(capacity: BatchCapacity) {
        do {
            self.init(
                capacity: capacity, memory: try HostBatchMemory(byteCount: BatchLayout(capacity).byteCount))
        } catch {
            preconditionFailure("\(error)")
        }
    }

    deinit { plans.deallocate() }

    /// Makes the rows behind the step's own, up to `count`, those of a token 0 that belongs to no sequence and is
    /// written nowhere.
    package func padTokens(to count: Int) {
        paddedTokenCount = max(count, tokenCount)
        for row in tokenCount..<paddedTokenCount {
            tokenIDs[row] = 0
            positions[row] = 0
            for group in 0..<capacity.cacheGroups { slotMapping[group * capacity.tokens + row] = -1 }
        }
    }

    /// Makes the logit rows behind the step's own, up to `count`, copies of row 0 that nothing is drawn from.
    package func padLogitRows(to count: Int) {
        paddedLogitRowCount = max(count, logitRowCount)
        for row in logitRowCount..<paddedLogitRowCount { logitRows[row] = 0 }
    }

    /// The sequence's query rows, in the step's tokens.
    package func rows(of sequence: Int) -> Range<Int> {
        Int(queryStartLocations[sequence])..<Int(queryStartLocations[sequence + 1])
    }

    /// Where the tokens' K and V of a group's layers go.
    package func slots(ofGroup group: Int) -> UnsafeMutableBufferPointer<Int64> {
        UnsafeMutableBufferPointer(rebasing: slotMapping[group * capacity.tokens..<(group + 1) * capacity.tokens])
    }

    /// A table row's blocks in a group.
    package func blockTable(row: Int, group: Int) -> UnsafeMutableBufferPointer<Int32> {
        let start = (group * capacity.sequences + row) * capacity.blocksPerSequence
        return UnsafeMutableBufferPointer(rebasing: blockTables[start..<start + capacity.blocksPerSequence])
    }

    /// The sequence's blocks in a group.
    package func blockTable(of sequence: Int, group: Int = 0) -> UnsafeMutableBufferPointer<Int32> {
        blockTable(row: Int(tableRows[sequence]), group: group)
    }

    /// The sequence's tokens before this step's.
    package func contextLength(of sequence: Int) -> Int {
        Int(sequenceLengths[sequence]) - rows(of: sequence).count
    }
}

/// Positions that see each other, both ends included.
package struct PrefixRange: Equatable, BitwiseCopyable, Sendable {
    package var first: Int32
    package var last: Int32

    package init(first: Int32, last: Int32) {
        self.first = first
        self.last = last
    }
}

/// How much of a batch is in use, where kernels read it when they run.
package struct BatchCounts: BitwiseCopyable, Sendable {
    package var tokens: Int32
    package var sequences: Int32
    package var logitRows: Int32
    package var queryQueryBiasExtent: Int32
}
