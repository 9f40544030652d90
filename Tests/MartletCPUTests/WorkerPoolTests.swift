// SPDX-License-Identifier: Apache-2.0

import Synchronization
import Testing

@testable import MartletCPU

/// Counts, in each phase, how often each chunk ran, and whether all of the phase before had run by then.
private final class CountingJob: PhasedJob {
    let chunks: [Int]
    private let runs: Mutex<[[Int]]>
    private let tooEarly = Atomic<Int>(0)
    private let finished: Mutex<[Int]>

    init(chunks: [Int]) {
        self.chunks = chunks
        runs = Mutex(chunks.map { Array(repeating: 0, count: $0) })
        finished = Mutex(Array(repeating: 0, count: chunks.count))
    }

    var phaseCount: Int { chunks.count }
    func chunkCount(phase: Int) -> Int { chunks[phase] }

    func run(phase: Int, chunk: Int, of count: Int, worker: Int) {
        if phase > 0, finished.withLock({ $0[phase - 1] }) != chunks[phase - 1] {
            tooEarly.wrappingAdd(1, ordering: .relaxed)
        }
        runs.withLock { $0[phase][chunk] += 1 }
        finished.withLock { $0[phase] += 1 }
    }

    var isRight: Bool {
        tooEarly.load(ordering: .relaxed) == 0 && runs.withLock { $0.allSatisfy { $0.allSatisfy { $0 == 1 } } }
    }
}

private final class LookingJob: PhasedJob {
    let isOver = Atomic<Bool>(false)
    let looksAfterTheEnd = Atomic<Int>(0)

    var phaseCount: Int { 4 }
    func chunkCount(phase: Int) -> Int { 3 }
    func run(phase: Int, chunk: Int, of chunkCount: Int, worker: Int) {}

    func prepare(after phase: Int, worker: Int, step: Int) -> Bool {
        for _ in 0..<100 where isOver.load(ordering: .sequentiallyConsistent) {
            looksAfterTheEnd.wrappingAdd(1, ordering: .relaxed)
        }
        return step < 50
    }
}

@Suite struct WorkerPoolTests {
    @Test(arguments: [1, 2, 3, 7]) func everyChunkRunsOnceAndInOrder(_ threads: Int) throws {
        let pool = try WorkerPool(threadCount: threads)
        for round in 0..<300 {
            let job = CountingJob(chunks: [1, 16, 0, 5, 1, 40, 2].map { $0 * (round % 3 + 1) })
            pool.run(job)
            #expect(job.isRight)
        }
    }

    /// Phases that are too small for a ticket, at both ends and alone.
    @Test(arguments: [1, 2, 5]) func smallPhasesRunInOrder(_ threads: Int) throws {
        let pool = try WorkerPool(threadCount: threads)
        for _ in 0..<100 {
            for chunks in [[0], [1], [1, 1, 1], [0, 0], [2, 1, 0], [0, 1, 2], [1, 9, 1, 9, 1], [9, 0, 0, 1]] {
                let job = CountingJob(chunks: chunks)
                pool.run(job)
                #expect(job.isRight, "\(chunks)")
            }
        }
    }

    /// Who waits may look ahead, but never once the run is over.
    @Test func nobodyLooksAtAJobThatIsOver() throws {
        let pool = try WorkerPool(threadCount: 4)
        for _ in 0..<500 {
            let job = LookingJob()
            pool.run(job)
            job.isOver.store(true, ordering: .sequentiallyConsistent)
            #expect(job.looksAfterTheEnd.load(ordering: .sequentiallyConsistent) == 0)
        }
    }

    /// Workers park between jobs that come far apart, and are woken again.
    @Test func parkedWorkersWakeUp() async throws {
        let pool = try WorkerPool(threadCount: 3)
        for _ in 0..<20 {
            try await Task.sleep(for: .milliseconds(3))
            let job = CountingJob(chunks: [8, 8])
            pool.run(job)
            #expect(job.isRight)
        }
    }

    @Test func poolsStartAndStop() throws {
        for _ in 0..<50 {
            let pool = try WorkerPool(threadCount: 4)
            let job = CountingJob(chunks: [3])
            pool.run(job)
            #expect(job.isRight)
        }
    }
}
