// SPDX-License-Identifier: Apache-2.0

/// How an engine runs its steps, under the names of vLLM's `cudagraph_mode`.
public enum GraphMode: String, Sendable, CaseIterable {
    /// Every kernel is lowered and launched by itself, at each step.
    case none = "NONE"
    /// Graphs of all between the attention kernels, which run by themselves.
    case piecewise = "PIECEWISE"
    /// One graph a step, attention inside.
    case full = "FULL"
    /// `full` for batches of nothing but decodes, `none` for others.
    case fullDecodeOnly = "FULL_DECODE_ONLY"
    /// `full` for batches of nothing but decodes, `piecewise` for others.
    case fullAndPiecewise = "FULL_AND_PIECEWISE"

    /// How batches run whose sequences all bring one token, or 1 + k where k are speculated.
    package var uniformDecode: GraphRuntimeMode {
        switch self {
        case .none: .none
        case .piecewise: .piecewise
        case .full, .fullDecodeOnly, .fullAndPiecewise: .full
        }
    }

    /// How all other batches run.
    package var mixed: GraphRuntimeMode {
        switch self {
        case .none, .fullDecodeOnly: .none
        case .piecewise, .fullAndPiecewise: .piecewise
        case .full: .full
        }
    }

    /// This mode, or the nearest below it that attention can be captured in.
    ///
    /// - Parameter speculatedTokens: tokens that a decode brings beside its one.
    package func resolved(for support: AttentionGraphSupport, speculatedTokens: Int = 0) -> GraphMode {
        let capturesDecodes = support >= (speculatedTokens > 0 ? .uniformBatch : .uniformSingleTokenDecode)
        switch self {
        case .none, .piecewise: return self
        case .full where support == .always: return self
        case .full, .fullAndPiecewise: return capturesDecodes ? .fullAndPiecewise : .piecewise
        case .fullDecodeOnly: return capturesDecodes ? self : .piecewise
        }
    }
}

/// How one step is run.
package enum GraphRuntimeMode: String, Sendable, CaseIterable {
    /// Kernel by kernel.
    case none = "NONE"
    /// As graphs, with attention by itself between them.
    case piecewise = "PIECEWISE"
    /// As one graph.
    case full = "FULL"

    /// What such a step's submissions are called in a trace.
    package var spanName: String { "run \(rawValue)" }
}

/// Which batches' attention a device can have inside of a graph; each includes those before it.
package enum AttentionGraphSupport: Int, Sendable, CaseIterable, Comparable {
    case never
    /// One query token a sequence.
    case uniformSingleTokenDecode
    /// As many query tokens in each sequence.
    case uniformBatch
    /// Any mix of prefills and decodes.
    case always

    package static func < (first: AttentionGraphSupport, second: AttentionGraphSupport) -> Bool {
        first.rawValue < second.rawValue
    }
}

/// What a graph is chosen by: the extent of a batch, or of the batches that a graph was captured for.
package struct GraphExtent: Hashable, Sendable {
    /// Rows of the program: tokens for a body, rows of logits for a head.
    package var rows: Int
    package var sequences: Int
    /// Whether all sequences are decodes, each of the same number of query tokens.
    package var isUniformDecode: Bool

    package init(rows: Int, sequences: Int, isUniformDecode: Bool = false) {
        self.rows = rows
        self.sequences = sequences
        self.isUniformDecode = isUniformDecode
    }
}
