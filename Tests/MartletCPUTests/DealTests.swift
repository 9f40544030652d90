// SPDX-License-Identifier: Apache-2.0

import MartletCompute
import Testing

@testable import MartletCPU

@Suite struct DealTests {
    private final class Items: Phase {
        private let isSingly: Bool
        private let least: Int

        init(dealsItemsSingly: Bool = false, leastItemsAChunk: Int = 1) {
            isSingly = dealsItemsSingly
            least = leastItemsAChunk
        }

        override var dealsItemsSingly: Bool { isSingly }
        override var leastItemsAChunk: Int { least }
    }

    private func chunks(of total: Int, _ phase: Items, threads: Int) -> [Range<Int>] {
        let deal = Deal(threadCount: threads)
        let count = phase.chunkCount(total, deal)
        return (0..<count).map { phase.items(of: total, chunk: $0, count: count, deal) }
    }

    @Test(arguments: [1, 2, 3, 16]) func everyItemIsInOneChunk(_ threads: Int) {
        for phase in [Items(), Items(dealsItemsSingly: true), Items(leastItemsAChunk: 4)] {
            for total in Array(0...200) + [1536, 4008] {
                #expect(chunks(of: total, phase, threads: threads).flatMap(Array.init) == Array(0..<total))
            }
        }
    }

    /// Long runs of memory first, small ones to end together.
    @Test func chunksShrink() {
        let sizes = chunks(of: 1600, Items(), threads: 2).map(\.count)
        #expect(sizes == [400, 400, 200, 200, 100, 100, 100, 100])
    }

    /// Bands take too long for one thread to have one more than another.
    @Test(arguments: [1, 2, 3, 5, 16]) func bandsComeOutEven(_ threads: Int) {
        let (bands, deal) = (RowBands(phase: RowwisePhase(extent: .tokens)), Deal(threadCount: threads))
        for rows in (1...40).map({ 64 * threads + $0 * 13 }) + [512 * threads, 8192] {
            #expect(RowBands.pay(rows: rows, threadCount: threads))
            let groups = (rows + 7) / 8
            let count = bands.chunkCount(groups, deal)
            let chunks = (0..<count).map { bands.items(of: groups, chunk: $0, count: count, deal) }
            #expect(chunks.flatMap(Array.init) == Array(0..<groups))
            #expect(count % threads == 0 && count <= 4 * threads)
            #expect(chunks.allSatisfy { $0.count >= 8 } && (chunks.map(\.count).max() ?? 0) <= groups / count + 1)
        }
        #expect(!RowBands.pay(rows: 64 * threads - 1, threadCount: threads))
        #expect(bands.chunkCount(0, deal) == 0)
    }

    @Test func fewItemsStayTogether() {
        #expect(chunks(of: 4, Items(leastItemsAChunk: 4), threads: 2) == [0..<4])
        #expect(chunks(of: 5, Items(leastItemsAChunk: 4), threads: 2).count == 2)
        #expect(chunks(of: 40, Items(dealsItemsSingly: true), threads: 2).count == 40)
    }
}
