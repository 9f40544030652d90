// SPDX-License-Identifier: Apache-2.0

import AllocationCounter
import Glibc
import Martlet
import MartletTestSupport
import Testing

@Suite struct AllocationTests {
    /// Answers under way, with everything that a request may ask for: a step allocates nothing.
    @Test(arguments: [1, 2]) func aSteadyDecodeStepAllocatesNothing(_ threads: Int) throws {
        var model = TinyModel()
        model.contextLength = 1024
        let file = try model.write()
        let engine = try ManualEngine(file.path) {
            $0.threads = threads
            $0.maxNumSeqs = 8
        }
        let requests: [GenerationRequest] = [
            .random(20, answer: 200),
            .random(600, answer: 200) { $0.temperature = 0.8 },
            .random(5, answer: 200) { ($0.temperature, $0.topP, $0.logprobs) = (1, 0.9, 5) },
            .random(5, answer: 200) { ($0.temperature, $0.topK, $0.minP) = (1, 40, 0.01) },
            .random(9, answer: 200) {
                ($0.logitBias, $0.minTokens, $0.stopTokenIDs) = ([3: 1], 150, [7])
                ($0.allowedTokenIDs, $0.badWords) = (Array(0..<200), [[1, 2]])
            },
            .random(5, answer: 200) {
                ($0.n, $0.temperature) = (3, 1)
                ($0.repetitionPenalty, $0.frequencyPenalty) = (1.1, 1)
            },
        ]
        let submissions = try requests.map { try engine.submit($0) }
        // Prompts are read, and every block of 16 tokens has been begun once.
        for _ in 0..<40 { engine.turn() }
        #expect(engine.loop.scheduler.running.count == 8)
        let before = martlet_allocation_count()
        for _ in 0..<100 { engine.turn() }
        let allocations = martlet_allocation_count() - before
        if before >= 0 { #expect(allocations == 0) }
        for submission in submissions { #expect(submission.read().tokens.allSatisfy { $0.count > 100 }) }
    }

    /// Nor does waking those who wait for their next token, but for the one or two blocks that the executor's queue
    /// takes to wake a task, where other threads haven't given it any back.
    @Test func readersCostTheEnginesThreadNothing() async throws {
        let file = try TinyModel().write()
        let engine = try ManualEngine(file.path)
        let submission = try engine.submit(.random(20, answer: 150))
        let channel = submission.channel
        let reader = Task {
            var count = 0
            while count < 150 {
                await channel.wait()
                while channel.peek()?.kind == .token {
                    _ = channel.take()
                    count += 1
                }
            }
            return count
        }
        var allocations: Int64 = 0
        for turn in 0..<150 {
            // Long enough that the reader waits again, mostly.
            usleep(300)
            let (before, zeroed) = (martlet_allocation_count(), martlet_zeroed_allocation_count())
            engine.turn()
            guard (30..<140).contains(turn), before >= 0 else { continue }
            let queued = martlet_zeroed_allocation_count() - zeroed
            allocations += martlet_allocation_count() - before - queued
            #expect(queued <= 2)
        }
        #expect(await reader.value == 150)
        #expect(allocations == 0)
    }

    /// The counter would see an allocation.
    @Test func theCounterCounts() {
        let before = martlet_allocation_count()
        let array = [Int](unsafeUninitializedCapacity: 1000) { $1 = $0.count }
        #expect(before < 0 || martlet_allocation_count() > before)
        #expect(array.count >= 1000)
    }
}
