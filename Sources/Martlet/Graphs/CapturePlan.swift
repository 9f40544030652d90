// SPDX-License-Identifier: Apache-2.0

import MartletCompute

/// A graph as it is asked for: how it runs, and the largest batch it runs.
package struct GraphKey: Hashable {
    package let mode: GraphRuntimeMode
    package let extent: GraphExtent

    package init(mode: GraphRuntimeMode, extent: GraphExtent) {
        self.mode = mode
        self.extent = extent
    }
}

/// Which graphs an engine captures.
package struct CapturePlan: Equatable {
    /// The body's graphs: those for uniform decodes only where the mode treats them apart.
    package private(set) var body: [GraphKey] = []
    package private(set) var head: [GraphKey] = []

    /// vLLM's sizes up to the largest: 1, 2, 4, then every 8th, from 256 on every 16th, and the largest itself.
    ///
    /// vLLM ends at twice its number of sequences, or at 512; ours end where batches do, so that mixed steps are
    /// captured too.
    package static func standardSizes(upTo largest: Int) -> [Int] {
        let sizes =
            [1, 2, 4] + Array(stride(from: 8, to: 256, by: 8)) + Array(stride(from: 256, through: largest, by: 16))
        return sizes.filter { $0 < largest } + [largest]
    }

    /// - Parameters:
    ///   - sizes: of tokens a step; nil for the standard ones. No step has more than the capacity; those of more than
    ///     the largest size are not captured.
    ///   - capturesBySize: whether the device needs a graph for each, or one for the largest.
    ///   - decodeLength: query tokens of a decode, 1 + k where k are speculated.
    package init(
        mode: GraphMode, sizes: [Int]?, capacity: BatchCapacity, capturesBySize: Bool, decodeLength: Int = 1
    ) {
        guard mode != .none else { return }
        let sizes = (sizes ?? Self.standardSizes(upTo: capacity.tokens)).map { min($0, capacity.tokens) }
        func kept(_ sizes: [Int]) -> [Int] {
            let sorted = Set(sizes).sorted()
            return capturesBySize ? sorted : sorted.suffix(1)
        }
        if mode.uniformDecode != mode.mixed {
            let most = min(capacity.sequences * decodeLength, capacity.tokens)
            // Whole decodes: a size between two of them holds the larger one with room to spare.
            let whole = sizes.map { ($0 + decodeLength - 1) / decodeLength * decodeLength }
            let largest = min(most, sizes.max() ?? 0) / decodeLength * decodeLength
            body += kept(whole.filter { $0 <= most } + (largest > 0 ? [largest] : [])).map { tokens in
                let extent = GraphExtent(
                    rows: tokens, sequences: tokens / decodeLength, isUniformDecode: true)
                return GraphKey(mode: mode.uniformDecode, extent: extent)
            }
        }
        if mode.mixed != .none {
            body += kept(sizes).map { tokens in
                let extent = GraphExtent(rows: tokens, sequences: min(tokens, capacity.sequences))
                return GraphKey(mode: mode.mixed, extent: extent)
            }
        }
        guard !body.isEmpty else { return }
        // The head holds no attention, so that one piece is all of it, and rows are all that counts.
        let rows = Self.standardSizes(upTo: capacity.logitRows)
        head = kept(rows).map {
            GraphKey(mode: .full, extent: GraphExtent(rows: $0, sequences: min($0, capacity.sequences)))
        }
    }
}
