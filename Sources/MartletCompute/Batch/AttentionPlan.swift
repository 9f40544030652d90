// SPDX-License-Identifier: Apache-2.0

/// A work item of attention: consecutive query rows of one sequence against consecutive segments of its keys.
///
/// An item that holds all segments its rows see folds them and writes the output. One that holds some of them leaves
/// a partial for each row and segment, for a merge to fold: row r's of segment s is number
/// `firstPartial + (r - firstRow) * partialStride + s - firstSegment`.
package struct AttentionItem: Equatable, BitwiseCopyable, Sendable {
    /// Index of the sequence in the batch.
    package var sequence: Int32
    /// First query row, in the step's tokens.
    package var firstRow: Int32
    package var rowCount: Int32
    package var firstSegment: Int32
    package var segmentCount: Int32
    /// Negative: the item holds all segments.
    package var firstPartial: Int32
    package var partialStride: Int32
    /// Keys times rows, times the KV heads of a decode: what items are ordered and dealt by.
    package var work: Int

    /// A parameter for each field.
    package init(
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
package struct AttentionMerge: Equatable, BitwiseCopyable, Sendable {
    package var row: Int32
    package var firstPartial: Int32
    package var partialCount: Int32

    package init(row: Int32, firstPartial: Int32, partialCount: Int32) {
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
package struct AttentionPlan {
    /// The prefill launch. Each item is run once for every KV head.
    package let prefills: UnsafeMutableBufferPointer<AttentionItem>
    /// The decode launch. An item covers all KV heads, so that the cache is read in its own order; a device may split it by
    /// head.
    package let decodes: UnsafeMutableBufferPointer<AttentionItem>
    /// The merge launch, after both.
    package let merges: UnsafeMutableBufferPointer<AttentionMerge>
    /// Partials that fit, one a row and segment, of all query heads.
    package let partialCapacity: Int
    private let storedCounts: UnsafeMutablePointer<AttentionPlanCounts>

    init(_ fields: BatchLayout.PlanFields, partialCapacity: Int, memory: any BatchMemory) {
        guard let counts = memory.pointer(to: fields.counts).baseAddress else {
            preconditionFailure("a plan has counts")
        }
        self.partialCapacity = partialCapacity
        storedCounts = counts
        prefills = memory.pointer(to: fields.prefills)
        decodes = memory.pointer(to: fields.decodes)
        merges = memory.pointer(to: fields.merges)
    }

    /// How many of each are in use.
    package var counts: AttentionPlanCounts {
        get { storedCounts.pointee }
        nonmutating set { storedCounts.pointee = newValue }
    }
    package var prefillCount: Int {
        get { Int(storedCounts.pointee.prefills) }
        nonmutating set { storedCounts.pointee.prefills = Int32(newValue) }
    }
    package var decodeCount: Int {
        get { Int(storedCounts.pointee.decodes) }
        nonmutating set { storedCounts.pointee.decodes = Int32(newValue) }
    }
    package var mergeCount: Int {
        get { Int(storedCounts.pointee.merges) }
        nonmutating set { storedCounts.pointee.merges = Int32(newValue) }
    }
    package var partialCount: Int {
        get { Int(storedCounts.pointee.partials) }
        nonmutating set { storedCounts.pointee.partials = Int32(newValue) }
    }
}

/// How many items of a plan are in use, where kernels read it when they run.
package struct AttentionPlanCounts: BitwiseCopyable, Sendable {
    package var prefills: Int32
    package var decodes: Int32
    package var merges: Int32
    package var partials: Int32
}

/// Which of a device's workers computes a row before and after attention, so that the row's attention can be given to the
/// same one.
package protocol RowAffinity: Sendable {
    /// The worker that has a row of a step of `rows`; 0 where rows aren't divided.
    func worker(ofRow row: Int, rows: Int) -> Int
}

/// How a device wants attention to be cut.
package struct AttentionGeometry: Sendable {
    /// Keys in a segment: the unit that partials are made of. Always counted from position 0, so that a row's bits
    /// don't depend on how its segments were dealt out.
    package var segmentLength: Int
    /// Query tokens in a prefill tile.
    package var tokensPerTile: Int
    /// How many items the device works on at a time; with 1, nothing is cut.
    package var parallelism: Int
    /// Items that each worker should find, so that what is claimed last is short.
    package var itemsPerWorker: Int
    /// Where the device divides a large batch's rows among its workers: a worker's prefills stand together then.
    package var affinity: (any RowAffinity)?

    /// - Precondition: all are positive.
    package init(
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
