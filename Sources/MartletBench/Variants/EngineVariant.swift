// SPDX-License-Identifier: Apache-2.0

public import MartletAttention
public import MartletCompute

/// One of the ways of running a model that a benchmark holds against each other.
public struct EngineVariant: Hashable, Sendable {
    public let graphMode: GraphMode
    public let attentionLaunch: AttentionLaunch

    public init(graphMode: GraphMode, attentionLaunch: AttentionLaunch) {
        self.graphMode = graphMode
        self.attentionLaunch = attentionLaunch
    }

    /// For people: `FULL split`.
    public var name: String { "\(graphMode.rawValue) \(attentionLaunch.rawValue)" }
}
