// SPDX-License-Identifier: Apache-2.0

/// How many attention kernels a step launches.
public enum AttentionLaunch: String, Sendable, CaseIterable {
    /// Two where the whole step is one graph, because a launch is free inside of it; else one.
    case auto
    /// One kernel, shaped for prefills, for every sequence of the step.
    case unified
    /// One kernel for prefills and one for decodes, which deals a long context's segments to all workers.
    case split

    /// - Parameter isFullGraph: whether the engine is configured to run steps as graphs with attention inside, not
    ///   whether the step at hand is one: the same launches serve both.
    public func splits(isFullGraph: Bool) -> Bool {
        switch self {
        case .auto: isFullGraph
        case .unified: false
        case .split: true
        }
    }
}
