// SPDX-License-Identifier: Apache-2.0

/// How many attention kernels a step launches.
public enum AttentionLaunch: String, Sendable, CaseIterable {
    /// Two where every step is to be one graph, because a launch is free inside of it; else one.
    case auto
    /// One kernel, shaped for prefills, for every sequence of the step.
    case unified
    /// One kernel for prefills and one for decodes, which deals a long context's segments to all workers.
    case split

    /// - Parameter isFullGraph: whether the engine's graph mode is `FULL`, not whether the step at hand runs as one
    ///   graph: the same launches serve all steps.
    package func splits(isFullGraph: Bool) -> Bool {
        switch self {
        case .auto: isFullGraph
        case .unified: false
        case .split: true
        }
    }
}
