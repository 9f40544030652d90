// SPDX-License-Identifier: Apache-2.0

import CMartletKernels
import MartletCompute

/// Which rows of a step each expert computes. A pair is a row and one of its choices; the pairs of one expert get
/// consecutive slots, the first of them a multiple of `MARTLET_ROW_GROUP`, because linear layers read rows in groups.
///
/// One thread writes it in a phase of its own; later phases read it.
final class ExpertAssignment {
    /// An expert that some row chose, and its slots.
    struct Share {
        var expert: Int
        var slots: Range<Int>
    }

    let expertCount: Int
    let chosen: Int
    let extent: RowExtent
    /// Slots that no step overflows.
    let slotCapacity: Int
    /// `[shareCount]`
    private let shares: UnsafeMutableBufferPointer<Share>
    private(set) var shareCount = 0
    /// `[pairs]`: the pair's slot.
    let slotOfPair: UnsafeMutableBufferPointer<Int32>
    /// `[experts]`
    private let pairCounts: UnsafeMutableBufferPointer<Int>
    private let nextSlots: UnsafeMutableBufferPointer<Int>

    /// - Parameter rows: the most rows that a step has of the extent.
    init(expertCount: Int, chosen: Int, extent: RowExtent, rows: Int) {
        self.expertCount = expertCount
        self.chosen = chosen
        self.extent = extent
        let active = min(expertCount, rows * chosen)
        slotCapacity = Self.wholeGroups(rows * chosen + active * (Int(MARTLET_ROW_GROUP) - 1))
        shares = .allocate(capacity: active)
        shares.initialize(repeating: Share(expert: 0, slots: 0..<0))
        slotOfPair = .allocate(capacity: rows * chosen)
        slotOfPair.initialize(repeating: 0)
        pairCounts = .allocate(capacity: expertCount)
        pairCounts.initialize(repeating: 0)
        nextSlots = .allocate(capacity: expertCount)
        nextSlots.initialize(repeating: 0)
    }

    deinit {
        shares.deallocate()
        slotOfPair.deallocate()
        pairCounts.deallocate()
        nextSlots.deallocate()
    }

    private static func wholeGroups(_ rows: Int) -> Int {
        (rows + Int(MARTLET_ROW_GROUP) - 1) / Int(MARTLET_ROW_GROUP) * Int(MARTLET_ROW_GROUP)
    }

    /// The most experts that `rows` rows choose.
    func maximumShares(rows: Int) -> Int { min(expertCount, rows * chosen) }

    /// A share; nil behind the last.
    func share(_ index: Int) -> Share? { index < shareCount ? shares[index] : nil }

    /// Assigns the pairs of a step.
    func assign(_ routing: TensorRows, rows: Int) {
        func expert(_ row: Int, _ choice: Int) -> Int { Int(routing.row(row)[choice]) }
        pairCounts.update(repeating: 0)
        for row in 0..<rows { for choice in 0..<chosen { pairCounts[expert(row, choice)] += 1 } }
        shareCount = 0
        var slot = 0
        for expert in 0..<expertCount where pairCounts[expert] > 0 {
            shares[shareCount] = Share(expert: expert, slots: slot..<slot + pairCounts[expert])
            nextSlots[expert] = slot
            shareCount += 1
            slot = Self.wholeGroups(slot + pairCounts[expert])
        }
        for row in 0..<rows {
            for choice in 0..<chosen {
                let expert = expert(row, choice)
                slotOfPair[row * chosen + choice] = Int32(nextSlots[expert])
                nextSlots[expert] += 1
            }
        }
    }
}
