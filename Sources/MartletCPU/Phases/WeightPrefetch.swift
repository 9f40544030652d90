// SPDX-License-Identifier: Apache-2.0

import CMartletKernels

/// Reads weights into a core's own cache while its thread waits.
enum WeightPrefetch {
    private static let bytesPerStep = 2048
    /// Less than the second cache of any core holds.
    private static let maximumBytes = 64 << 10

    /// With many rows each weight is used so often that the memory keeps up by itself.
    static func isWorthwhile(rows: Int) -> Bool { rows <= 32 }

    /// Asks for a piece of some panels; false behind the last.
    static func step(_ step: Int, of weight: MartletPanels, panels: Range<Int>) -> Bool {
        let panelBytes = Int(weight.panelBytes)
        let (offset, bytes) = (step * bytesPerStep, min(panels.count * panelBytes, maximumBytes))
        guard offset < bytes else { return false }
        martlet_prefetch(
            weight.base + panels.lowerBound * panelBytes + offset, Int64(min(bytesPerStep, bytes - offset)))
        return true
    }
}
