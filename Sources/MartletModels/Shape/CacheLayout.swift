// SPDX-License-Identifier: Apache-2.0

package import MartletCompute

/// Where a model's layers keep their keys and values: a block of the cache has room for a few layers, and each group of so
/// many layers takes blocks of its own. Groups with a window give blocks back that no token will read again; all groups
/// take from one pool, so what windows don't need is there for longer sequences.
///
/// ```
///   six layers, of which one sees all tokens (A) and five a window (w)
///   one layer a block:    group 0: A    groups 1 to 5: w w w w w
/// ```
package struct CacheLayout: Hashable, Sendable {
    /// A layer's home: its group, and its layer in that group's blocks.
    package struct Home: Hashable, Sendable {
        package let group: Int
        package let layer: Int
    }

    /// The layers of one block.
    package let blockLayers: [CacheShape.Layer]
    /// Those that keep all tokens come first.
    package let groups: [CacheGroup]
    /// The home of each of the model's layers.
    package let homes: [Home]

    package init(of shape: ModelShape) {
        let layers = shape.layers.map {
            CacheShape.Layer(keyValueHeads: $0.attention.heads.keyValueHeads, headSize: $0.attention.heads.headSize)
        }
        let kinds = shape.layers.map { CacheGroup(of: $0.attention, contextLength: shape.contextLength) }
        // Blocks are for any group's layers, so all layers must be alike.
        guard let first = layers.first, layers.allSatisfy({ $0 == first }) else {
            self.init(layers: layers, window: nil)
            return
        }
        let distinct = Set(kinds).sorted { ($0.window ?? .max) > ($1.window ?? .max) }
        guard distinct.count > 1 else {
            self.init(layers: layers, window: distinct.first?.window)
            return
        }
        let counts = distinct.map { kind in kinds.count { $0 == kind } }
        let length = Self.layersPerBlock(counts)
        var groups: [CacheGroup] = []
        var homes = [Home](repeating: Home(group: 0, layer: 0), count: layers.count)
        for kind in distinct {
            for (number, index) in kinds.indices.filter({ kinds[$0] == kind }).enumerated() {
                if number % length == 0 { groups.append(kind) }
                homes[index] = Home(group: groups.count - 1, layer: number % length)
            }
        }
        self.init(blockLayers: Array(repeating: first, count: length), groups: groups, homes: homes)
    }

    private init(blockLayers: [CacheShape.Layer], groups: [CacheGroup], homes: [Home]) {
        self.blockLayers = blockLayers
        self.groups = groups
        self.homes = homes
    }

    /// One group of all layers.
    private init(layers: [CacheShape.Layer], window: Int?) {
        self.init(
            blockLayers: layers, groups: [CacheGroup(window: window)],
            homes: layers.indices.map { Home(group: 0, layer: $0) })
    }

    /// The most layers a block that leave at most a tenth of all blocks' layers without use, where a kind's last group has
    /// fewer.
    private static func layersPerBlock(_ counts: [Int]) -> Int {
        let all = counts.reduce(0, +)
        return (1...(counts.min() ?? 1)).last { length in
            counts.reduce(0) { $0 + ($1 + length - 1) / length * length } * 10 <= all * 11
        } ?? 1
    }
}

extension CacheGroup {
    /// A layer keeps its window. It keeps all tokens where the window is as long as any sequence, and where it sees later ones.
    fileprivate init(of attention: AttentionShape, contextLength: Int) {
        guard attention.visibility.isCausal, case .window(let window) = attention.visibility.scope,
            window + Self.keysPerTile < contextLength
        else {
            self.init()
            return
        }
        self.init(window: window)
    }
}
