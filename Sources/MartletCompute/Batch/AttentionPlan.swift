// SPDX-License-Identifier: Apache-2.0

/// A work item of attention: consecutive query rows of one sequence against consecutive segments of its keys.
///
/// An item that holds all segments its rows see folds them and writes the output. One that holds some of them leaves
/// a partial for each row and segment, for a merge to fold: row r's of segment s is number
/// `firstPartial + (r - firstRow) * partialStride + s - firstSegment`.
public struct AttentionItem: Equatable, Sendable {
    /// Index of the sequence in the batch.
    public var sequence: Int32
    /// First query row, in the step's tokens.
    public var firstRow: Int32
    public var rowCount: Int32
    public var firstSegment: Int32
    public var segmentCount: Int32
    /// Negative: the item holds all segments.
    public var firstPartial: Int32
    public var partialStride: Int32
    /// Keys times rows, times the KV heads of a decode: what items are ordered and dealt by.
    public var work: Int

    public init(
        sequence: Int32, firstRow: Int32, rowCount: Int32, firstSegment: Int32, segmentCount: Int32,
        firstPartial: Int32 = -1, partialStride: Int32 = 0, work: Int = 0
    ) {
        self.sequence = sequence
        self.firstRow = firstRow
        self.rowCount = rowCount
        self.firstSegment = firstSegment
        self.segmentCount = segmentCount
        self.firstPartial = firstPartial
        self.partialStride = partialStride
        self.work = work
    }
}

/// Folds a row's partials, which lie side by side, and writes its output.
public struct AttentionMerge: Equatable, Sendable {
    public var row: Int32
    public var firstPartial: Int32
    public var partialCount: Int32

    public init(row: Int32, firstPartial: Int32, partialCount: Int32) {
        self.row = row
        self.firstPartial = firstPartial
        self.partialCount = partialCount
    }
}

/// How a step's attention is cut into work items: decided once a step, on the host, and shared by all layers of one
/// `AttentionGroup`.
///
/// Items live in fixed buffers with their counts beside them, so that a recorded graph can read them when it runs.
/// Items in use are the first of each buffer, longest first.
public struct AttentionPlan {
    /// The prefill launch. Each item is run once for every KV head.
    public let prefills: UnsafeMutableBufferPointer<AttentionItem>
    public var prefillCount = 0
    /// The decode launch. An item covers all KV heads, so that the cache is read in its own order; a device may split it by
    /// head.
    public let decodes: UnsafeMutableBufferPointer<AttentionItem>
    public var decodeCount = 0
    /// The merge launch, after both.
    public let merges: UnsafeMutableBufferPointer<AttentionMerge>
    public var mergeCount = 0
    /// Partials that fit, one a row and segment, of all query heads.
    public let partialCapacity: Int
    public var partialCount = 0

    /// Buffers that no batch of the capacity overflows: a tile has at least one row, and cutting it leaves a partial
    /// for each piece.
    init(capacity: BatchCapacity) {
        let item = AttentionItem(sequence: 0, firstRow: 0, rowCount: 0, firstSegment: 0, segmentCount: 0)
        partialCapacity = capacity.partials
        prefills = .allocate(capacity.tokens + capacity.partials, item)
        decodes = .allocate(capacity.sequences + capacity.partials, item)
        merges = .allocate(
            min(capacity.tokens, capacity.partials), AttentionMerge(row: 0, firstPartial: 0, partialCount: 0))
    }

    func deallocate() {
        prefills.deallocate()
        decodes.deallocate()
        merges.deallocate()
    }
}

/// Which of a device's workers computes a row before and after attention, so that the row's attention can be given to the
/// same one.
public protocol RowAffinity: Sendable {
    /// The worker that has a row of a step of `rows`; 0 where rows aren't divided.
    func worker(ofRow row: Int, rows: Int) -> Int
}

/// How a device wants attention to be cut.
public struct AttentionGeometry: Sendable {
    /// Keys in a segment: the unit that partials are made of. Always counted from position 0, so that a row's bits
    /// don't depend on how its segments were dealt out.
    public var segmentLength: Int
    /// Query tokens in a prefill tile.
    public var tokensPerTile: Int
    /// How many items the device works on at a time; with 1, nothing is cut.
    public var parallelism: Int
    /// Items that each worker should find, so that what is claimed last is short.
    public var itemsPerWorker: Int
    /// Where the device divides a large batch's rows among its workers: a worker's prefills stand together then.
    public var affinity: (any RowAffinity)?

    /// - Precondition: all are positive.
    public init(
        segmentLength: Int, tokensPerTile: Int, parallelism: Int, itemsPerWorker: Int = 8,
        affinity: (any RowAffinity)? = nil
    ) {
        precondition(segmentLength > 0 && tokensPerTile > 0 && parallelism > 0 && itemsPerWorker > 0)
        self.segmentLength = segmentLength
        self.tokensPerTile = tokensPerTile
        self.parallelism = parallelism
        self.itemsPerWorker = itemsPerWorker
        self.affinity = affinity
    }
}
