// SPDX-License-Identifier: Apache-2.0

package import MartletAttention
package import MartletCompute

/// One of the ways of running a model that a benchmark holds against each other.
package struct EngineVariant: Hashable, Sendable {
    package let graphMode: GraphMode
    package let attentionLaunch: AttentionLaunch

    package init(graphMode: GraphMode, attentionLaunch: AttentionLaunch) {
        self.graphMode = graphMode
        self.attentionLaunch = attentionLaunch
    }

    /// For people: `FULL split`.
    package var name: String { "\(graphMode.rawValue) \(attentionLaunch.rawValue)" }
}
