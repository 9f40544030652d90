// SPDX-License-Identifier: Apache-2.0

import MartletCPU
import MartletCompute
import Testing

@Suite struct ChunkPolicyTests {
    private func chunks(of total: Int, _ bounds: ChunkBounds, threads: Int) -> [Range<Int>] {
        let policy = ChunkPolicy(threadCount: threads)
        let count = bounds.chunkCount(total, policy)
        return (0..<count).map { bounds.items(of: total, chunk: $0, count: count, policy) }
    }

    @Test(arguments: [1, 2, 3, 16]) func everyItemIsInOneChunk(_ threads: Int) {
        for bounds in [
            ChunkBounds(), ChunkBounds(hasUnevenItems: true), ChunkBounds(minimum: 4), ChunkBounds(minimumSteal: 22),
        ] {
            for total in Array(0...200) + [1536, 4008] {
                let chunks = chunks(of: total, bounds, threads: threads)
                #expect(chunks.flatMap(Array.init).sorted() == Array(0..<total))
                #expect(chunks.allSatisfy { !$0.isEmpty })
            }
        }
    }

    /// Of each thread's run of memory a long part first, then what follows.
    @Test func theLastQuarterOfMuchWorkCanBeStolen() {
        #expect(
            chunks(of: 1600, ChunkBounds(minimumSteal: 100), threads: 2)
                == [0..<600, 600..<700, 700..<800, 800..<1400, 1400..<1500, 1500..<1600])
    }

    @Test func littleWorkIsOneChunkAThread() {
        #expect(chunks(of: 18, ChunkBounds(minimumSteal: 22), threads: 2) == [0..<9, 9..<18])
        #expect(chunks(of: 175, ChunkBounds(minimumSteal: 22), threads: 2).count == 2)
        #expect(chunks(of: 176, ChunkBounds(minimumSteal: 22), threads: 2).count == 4)
        #expect(chunks(of: 3, ChunkBounds(), threads: 2).count == 2)
    }

    /// Bands take too long for one thread to have one more than another. What a row is told of its thread is so.
    @Test(arguments: [1, 2, 3, 5, 16]) func bandsComeOutEven(_ threads: Int) {
        let (bands, policy) = (RowBands(phase: RowwisePhase(extent: .tokens)), ChunkPolicy(threadCount: threads))
        let banding = RowBanding(threadCount: threads)
        for rows in (1...40).map({ 64 * threads + $0 * 13 }) + [512 * threads, 8192] {
            #expect(banding.isWorthwhile(rows: rows))
            let count = bands.chunkCount(rows, policy)
            let chunks = (0..<count).map { bands.items(of: rows, chunk: $0, count: count, policy) }
            #expect(chunks.flatMap(Array.init).sorted() == Array(0..<rows))
            #expect(count % threads == 0 && count <= 4 * threads)
            #expect(chunks.allSatisfy { $0.lowerBound % 8 == 0 && $0.count > 56 })
            #expect(chunks.map(\.count).max() ?? 0 <= (rows / 8 / count + 1) * 8)
            for thread in 0..<threads {
                for chunk in WorkerPool.share(of: count, worker: thread, threadCount: threads) {
                    #expect(chunks[chunk].allSatisfy { banding.worker(ofRow: $0, rows: rows) == thread })
                }
            }
        }
        #expect(!banding.isWorthwhile(rows: 64 * threads - 1))
        #expect(bands.chunkCount(0, policy) == 0)
    }

    /// The first rows of a prompt see few keys and the last many; a thread's bands see as many as another's.
    @Test func bandsSeeAsManyKeys() {
        let banding = RowBanding(threadCount: 4)
        var keys = [0, 0, 0, 0]
        for row in 0..<4096 { keys[banding.worker(ofRow: row, rows: 4096)] += row + 1 }
        #expect(Set(keys) == [4096 * 4097 / 2 / 4])
    }

    @Test func fewItemsStayTogether() {
        #expect(chunks(of: 4, ChunkBounds(minimum: 4), threads: 2) == [0..<4])
        #expect(chunks(of: 5, ChunkBounds(minimum: 4), threads: 2).count == 2)
        #expect(chunks(of: 40, ChunkBounds(hasUnevenItems: true), threads: 2).count == 40)
    }
}
