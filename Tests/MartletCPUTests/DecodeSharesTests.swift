// SPDX-License-Identifier: Apache-2.0

import MartletCPU
import MartletCompute
import MartletTestSupport
import Testing

@Suite struct DecodeSharesTests {
    private func shares(of works: [Int], _ heads: AttentionHeads, threads: Int) -> [[DecodeShares.Place]] {
        var decodes = works.map {
            AttentionItem(sequence: 0, firstRow: 0, rowCount: 1, firstSegment: 0, segmentCount: 1, work: $0)
        }
        return decodes.withUnsafeMutableBufferPointer {
            let shares = DecodeShares(decodes: UnsafeBufferPointer($0), heads: heads, threadCount: threads)
            return (0..<shares.count).map { [shares.start(of: $0), shares.start(of: $0 + 1)] }
        }
    }

    /// Shares follow each other from the first decode's first head to the last one's last, and none has more than its
    /// part of the work and half of what stays together at either end.
    @Test(arguments: [1, 2, 3, 16]) func sharesAreEven(_ threads: Int) {
        var random = SeededGenerator(UInt64(threads))
        for heads in [
            AttentionHeads(queryHeads: 9, keyValueHeads: 3, headSize: 64),
            AttentionHeads(queryHeads: 32, keyValueHeads: 8, headSize: 64),
            AttentionHeads(queryHeads: 5, keyValueHeads: 5, headSize: 64),
        ] {
            for count in 1..<4 * threads {
                let works = (0..<count).map { _ in Int.random(in: 1...100_000, using: &random) }
                let shares = shares(of: works, heads, threads: threads)
                func place(_ place: DecodeShares.Place) -> Int { place.decode * heads.queryHeads + place.head }
                #expect(shares.first?.first == DecodeShares.Place(decode: 0, head: 0))
                #expect(shares.last?.last == DecodeShares.Place(decode: count, head: 0))
                #expect(zip(shares, shares.dropFirst()).allSatisfy { $0[1] == $1[0] })
                let grain = count < threads ? 1 : heads.groupSize
                let most = (works.max() ?? 0) / (heads.queryHeads / grain)
                for share in shares {
                    #expect(place(share[0]) <= place(share[1]) && share[0].head % grain == 0)
                    let work = (place(share[0])..<place(share[1])).reduce(0.0) {
                        $0 + Double(works[$1 / heads.queryHeads]) / Double(heads.queryHeads)
                    }
                    #expect(work <= Double(works.reduce(0, +) / shares.count + most + 1))
                }
            }
        }
    }

    @Test func fewHeadsAreDividedAmongThreads() {
        let heads = AttentionHeads(queryHeads: 9, keyValueHeads: 3, headSize: 64)
        #expect(shares(of: [900], heads, threads: 2).map { $0[1].head } == [5, 0])
        #expect(shares(of: [900], heads, threads: 16).count == 9)
        // Of a long one and a short one not one each.
        #expect(shares(of: [900, 300], heads, threads: 2)[0][1] == DecodeShares.Place(decode: 0, head: 6))
    }
}
