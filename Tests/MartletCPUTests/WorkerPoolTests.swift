// SPDX-License-Identifier: Apache-2.0

import Glibc
import MartletCPU
import MartletCompute
import Synchronization
import Testing

/// Counts, in each phase, how often each chunk ran, and whether all of the phase before had run by then.
private final class CountingJob: PhasedJob {
    let chunks: [Int]
    private let runs: Lock<[[Int]]>
    private let tooEarly = Atomic<Int>(0)
    private let finished: Lock<[Int]>

    init(chunks: [Int]) {
        self.chunks = chunks
        runs = Lock(chunks.map { Array(repeating: 0, count: $0) })
        finished = Lock(Array(repeating: 0, count: chunks.count))
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

/// The first thread in a phase stays there until others have run all else of it.
private final class HoldingJob: PhasedJob {
    let phaseCount: Int
    let left: Lock<[Int]>
    let hasGivenUp = Atomic<Bool>(false)
    private let chunks: Int
    private let isHeld: Lock<Set<Int>> = Lock([])

    init(phaseCount: Int, chunks: Int) {
        self.phaseCount = phaseCount
        self.chunks = chunks
        left = Lock(Array(repeating: chunks, count: phaseCount))
    }

    func chunkCount(phase: Int) -> Int { chunks }

    func run(phase: Int, chunk: Int, of count: Int, worker: Int) {
        if isHeld.withLock({ $0.insert(phase).inserted }) {
            let end = ContinuousClock.now + .seconds(20)
            while left.withLock({ $0[phase] }) > 1, ContinuousClock.now < end { usleep(50) }
            if ContinuousClock.now >= end { hasGivenUp.store(true, ordering: .relaxed) }
        }
        left.withLock { $0[phase] -= 1 }
    }
}

private final class LookingJob: PhasedJob {
    let isOver = Atomic<Bool>(false)
    let looksAfterTheEnd = Atomic<Int>(0)

    var phaseCount: Int { 4 }
    func chunkCount(phase: Int) -> Int { 3 }
    func run(phase: Int, chunk: Int, of chunkCount: Int, worker: Int) {}

    func prepare(for phase: Int, worker: Int, step: Int) -> Bool {
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

    /// Every chunk is in one share, and shares differ by one at most.
    @Test(arguments: [1, 2, 3, 16]) func sharesComeOutEven(_ threads: Int) {
        for count in 0...100 {
            let shares = (0..<threads).map { WorkerPool.share(of: count, worker: $0, threadCount: threads) }
            #expect(shares.flatMap(Array.init) == Array(0..<count))
            #expect(shares.allSatisfy { $0.count == count / threads || $0.count == count / threads + 1 })
        }
    }

    /// A thread that is held up keeps the chunk it is at; what else is its share others take.
    @Test(arguments: [2, 3, 7]) func othersTakeTheShareOfWhoIsHeldUp(_ threads: Int) throws {
        let pool = try WorkerPool(threadCount: threads)
        for phases in [1, 3] {
            let job = HoldingJob(phaseCount: phases, chunks: 20)
            pool.run(job)
            #expect(job.left.withLock { $0 } == Array(repeating: 0, count: phases))
            let hasGivenUp = job.hasGivenUp.load(ordering: .relaxed)
            #expect(!hasGivenUp)
        }
    }

    /// Phases that are too small to be dealt, at both ends and alone.
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
