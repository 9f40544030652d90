// SPDX-License-Identifier: Apache-2.0

import MartletCompute

/// One sequence's share of a step: plain data from whoever schedules to whoever runs.
struct ScheduledSequence {
    /// A row of the step whose logits are wanted.
    struct LogitRow {
        /// Place among `tokens`.
        let offset: Int
        let sampling: SamplingRow
    }

    /// The tokens to compute.
    let tokens: ArraySlice<Int32>
    /// Tokens computed before, whose K and V are in the cache.
    let contextLength: Int
    /// Blocks for the context and the tokens.
    let blockTable: [Int32]
    let logitRows: [LogitRow]
}
