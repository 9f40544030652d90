// SPDX-License-Identifier: Apache-2.0

/// How much a step may hold. All of it is allocated once, at start.
public struct BatchCapacity: Hashable, Sendable {
    public var tokens: Int
    public var sequences: Int
    /// Cache blocks of one sequence.
    public var blocksPerSequence: Int
    /// Rows of one head submission.
    public var logitRows: Int

    public init(tokens: Int, sequences: Int, blocksPerSequence: Int, logitRows: Int) {
        precondition(tokens > 0 && sequences > 0 && blocksPerSequence > 0 && logitRows > 0)
        self.tokens = tokens
        self.sequences = sequences
        self.blocksPerSequence = blocksPerSequence
        self.logitRows = logitRows
    }
}

/// The fixed buffers that a step's geometry and inputs are written to, and that kernels read when they run.
///
/// ```
///   sequence s    |<------- context ------->|<--- query --->|
///   positions      0                         c               sequenceLengths[s]
///   rows of the step      queryStartLocations[s] ..< queryStartLocations[s + 1]
/// ```
///
/// One thread writes between steps; the device reads during one.
public final class BatchBuffers {
    public let capacity: BatchCapacity

    public var tokenCount = 0
    public var sequenceCount = 0
    public var logitRowCount = 0

    /// `[tokens]`
    public let tokenIDs: UnsafeMutableBufferPointer<Int32>
    /// `[tokens]`: the token's place in its sequence.
    public let positions: UnsafeMutableBufferPointer<Int32>
    /// `[tokens]`: `block * blockSize + offset` where the token's K and V go; negative: nowhere.
    public let slotMapping: UnsafeMutableBufferPointer<Int64>
    /// `[sequences + 1]`
    public let queryStartLocations: UnsafeMutableBufferPointer<Int32>
    /// `[sequences]`: keys a sequence has, this step's included.
    public let sequenceLengths: UnsafeMutableBufferPointer<Int32>
    /// `[sequences, blocksPerSequence]`
    public let blockTables: UnsafeMutableBufferPointer<Int32>
    /// `[logitRows]`: rows of the step.
    public let logitRows: UnsafeMutableBufferPointer<Int32>
    /// `[logitRows]`
    public let sampling: UnsafeMutableBufferPointer<SamplingRow>
    /// `[logitRows]`, written by the device.
    public let samples: UnsafeMutableBufferPointer<SampledToken>
    public var plan: AttentionPlan

    public init(capacity: BatchCapacity) {
        func zeros<Element>(_ count: Int, _ zero: Element) -> UnsafeMutableBufferPointer<Element> {
            let buffer = UnsafeMutableBufferPointer<Element>.allocate(capacity: count)
            buffer.initialize(repeating: zero)
            return buffer
        }
        self.capacity = capacity
        tokenIDs = zeros(capacity.tokens, 0)
        positions = zeros(capacity.tokens, 0)
        slotMapping = zeros(capacity.tokens, -1)
        queryStartLocations = zeros(capacity.sequences + 1, 0)
        sequenceLengths = zeros(capacity.sequences, 0)
        blockTables = zeros(capacity.sequences * capacity.blocksPerSequence, -1)
        logitRows = zeros(capacity.logitRows, 0)
        sampling = zeros(capacity.logitRows, .greedy)
        samples = zeros(capacity.logitRows, SampledToken())
        // A tile holds at least one row, so there are never more tiles than tokens.
        let tile = PrefillTile(sequence: 0, firstRow: 0, rowCount: 0)
        plan = AttentionPlan(prefillTiles: zeros(capacity.tokens, tile))
    }

    deinit {
        tokenIDs.deallocate()
        positions.deallocate()
        slotMapping.deallocate()
        queryStartLocations.deallocate()
        sequenceLengths.deallocate()
        blockTables.deallocate()
        logitRows.deallocate()
        sampling.deallocate()
        samples.deallocate()
        plan.prefillTiles.deallocate()
    }
}
