// SPDX-License-Identifier: Apache-2.0

/// Layers whose keys and values are kept for the same tokens. They share blocks, and each sequence has one block table a
/// group.
package struct CacheGroup: Hashable, Sendable {
    /// Keys that a token sees, its own included; nil: all before it.
    package let window: Int?
    /// Keys that kernels read together, counted from position 0: those outside of a window are read with the others and
    /// hidden.
    package let tile: Int

    package init(window: Int? = nil, tile: Int = Self.keysPerTile) {
        self.window = window
        self.tile = tile
    }

    /// The keys of a tile on every device.
    package static let keysPerTile = 64

    /// The first position whose key a token at `position`, or at a later one, reads.
    package func firstPosition(readFrom position: Int) -> Int {
        guard let window else { return 0 }
        return max(0, position - window + 1) / tile * tile
    }
}
