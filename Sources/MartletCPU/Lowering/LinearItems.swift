// SPDX-License-Identifier: Apache-2.0

import MartletCompute

/// How a linear layer's panels are dealt out: a panel an item, or a head's panels where heads are prepared behind it.
package struct LinearItems: Hashable {
    let count: Int
    let panelsPerItem: Int
    /// The smallest chunk worth stealing, in items.
    let minimumStealChunk: Int

    /// The fewest weight bytes worth stealing: reading them takes some microseconds, even for one row.
    private static let stealBytes = 256 << 10

    package init(_ operation: LinearOperation, _ traits: any LoweringTraits) {
        panelsPerItem = operation.heads.map { $0.heads.headSize / PanelWeight.panelColumns } ?? 1
        let panels = operation.linear.weights.reduce(0) { $0 + PanelWeight.panelCount(outputs: $1.rows) }
        count = panels / panelsPerItem
        let bytes = operation.linear.weights.first.map(traits.panelBytes) ?? 0
        minimumStealChunk = max(1, Self.panelsWorthStealing(bytes) / panelsPerItem)
    }

    /// An item is a panel of gate and one of up.
    package init(_ operation: GatedLinearOperation, _ traits: any LoweringTraits) {
        let weights = operation.projections.weights
        panelsPerItem = 1
        count = PanelWeight.panelCount(outputs: weights[0].rows)
        minimumStealChunk = Self.panelsWorthStealing(weights.reduce(0) { $0 + traits.panelBytes(of: $1) })
    }

    /// A panel an item, none of which is stolen.
    package init(panelCount: Int) { (count, panelsPerItem, minimumStealChunk) = (panelCount, 1, max(1, panelCount)) }

    static func panelsWorthStealing(_ panelBytes: Int) -> Int { max(1, stealBytes / max(1, panelBytes)) }
}
