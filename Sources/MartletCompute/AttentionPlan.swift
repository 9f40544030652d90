// SPDX-License-Identifier: Apache-2.0

/// A work item of the prefill launch: consecutive query rows of one sequence.
public struct PrefillTile: Equatable, Sendable {
    /// Index of the sequence in the batch.
    public var sequence: Int32
    /// First query row, in the step's tokens.
    public var firstRow: Int32
    public var rowCount: Int32

    public init(sequence: Int32, firstRow: Int32, rowCount: Int32) {
        self.sequence = sequence
        self.firstRow = firstRow
        self.rowCount = rowCount
    }
}

/// How a step's attention is cut into work items: decided once a step, on the host, and shared by every layer.
///
/// Items live in fixed buffers with their counts beside them, so that a recorded graph can read them when it runs.
public struct AttentionPlan {
    /// Items in use are the first `prefillTileCount`, longest first.
    public let prefillTiles: UnsafeMutableBufferPointer<PrefillTile>
    public var prefillTileCount = 0

    public init(prefillTiles: UnsafeMutableBufferPointer<PrefillTile>) {
        self.prefillTiles = prefillTiles
    }
}
