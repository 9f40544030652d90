// SPDX-License-Identifier: Apache-2.0

import Martlet
import MartletCompute
import Testing

@Suite struct SchedulerTests {
    private let validator = RequestValidator(
        limits: RequestLimits(), maxModelLength: 10_000, vocabularySize: 10, endTokens: [0])

    private func scheduler(
        budget: Int = 64, sequences: Int = 8, blocks: Int = 100,
        _ change: (inout SchedulerConfiguration) -> Void = { _ in }
    ) -> Scheduler {
        var configuration = SchedulerConfiguration(maxNumBatchedTokens: budget, maxNumSeqs: sequences)
        change(&configuration)
        return Scheduler(configuration: configuration, pool: BlockPool(blockCount: blocks, blockSize: 16))
    }

    /// Adds a request whose prompt is like no other's.
    private func add(
        _ id: UInt64, prompt: Int, answer: Int = 50, priority: Int = 0, to scheduler: inout Scheduler
    ) throws {
        let salt = Int(id)
        let tokens = (0..<prompt).map { index -> Int32 in Int32((salt * 7 + index * index * salt) % 9) + 1 }
        var request = GenerationRequest(promptTokens: tokens)
        request.sampling.maxTokens = answer
        request.priority = priority
        scheduler.add(try validator.validate(request), id: RequestID(id))
    }

    /// Takes a step in which everyone's next token is 5. Returns who computed how much.
    @discardableResult private func step(_ scheduler: inout Scheduler) -> [UInt64: Int] {
        let plan = plan(&scheduler)
        update(&scheduler, plan)
        return shares(of: plan)
    }

    private func plan(_ scheduler: inout Scheduler) -> StepPlan {
        var plan = StepPlan()
        scheduler.schedule(into: &plan)
        return plan
    }

    /// Everyone's next token is the same.
    private func update(_ scheduler: inout Scheduler, _ plan: StepPlan, token: Int32 = 5) {
        var output = StepOutput()
        for (index, entry) in plan.entries.enumerated() where entry.samples {
            var row = StepOutput.Row(entry: index, position: 0, isSample: true)
            row.sampled.token = token
            output.rows.append(row)
        }
        scheduler.update(plan, output) { _ in }
    }

    private func shares(of plan: StepPlan) -> [UInt64: Int] {
        Dictionary(plan.entries.map { ($0.sequence.requestID.number, $0.tokenCount) }, uniquingKeysWith: +)
    }

    /// Where the blocks that samples share end before the prompt does, a window at their end reaches further back than one at
    /// the prompt's.
    @Test func samplesShareAPromptWhoseWindowMovesOn() throws {
        let pool = BlockPool(
            blockCount: 100, blockSize: 16, groups: [CacheGroup(), CacheGroup(window: 16, tile: 16)],
            cachesPrefixes: false)
        var scheduler = Scheduler(
            configuration: SchedulerConfiguration(maxNumBatchedTokens: 64, maxNumSeqs: 8), pool: pool)
        var request = GenerationRequest(promptTokens: (0..<112).map { $0 % 9 + 1 })
        request.sampling.maxTokens = 50
        request.sampling.n = 3
        scheduler.add(try validator.validate(request), id: RequestID(1))
        #expect(step(&scheduler) == [1: 64])
        #expect(step(&scheduler) == [1: 48])
        // The first sample's second token, and of the others' prompts what is behind six whole blocks.
        #expect(step(&scheduler) == [1: 1 + 16 + 16])
        step(&scheduler)
        #expect(scheduler.running.map { $0.blockTables[1].firstHeld } == [6, 6, 6])
    }

    /// A step that is planned before the one ahead of it has run goes on from where that one ends.
    @Test func aStepIsPlannedAhead() throws {
        var scheduler = scheduler()
        try add(1, prompt: 100, answer: 3, to: &scheduler)
        try add(2, prompt: 20, answer: 50, to: &scheduler)
        let first = plan(&scheduler)
        let second = plan(&scheduler)
        #expect(shares(of: first) == [1: 64] && shares(of: second) == [1: 36, 2: 20])
        update(&scheduler, first)
        let third = plan(&scheduler)
        #expect(third.entries.map(\.positions) == [100..<101, 20..<21] && third.decodeCount == 2)
        update(&scheduler, second)
        #expect(scheduler.running.map(\.answerCount) == [1, 1])
        // The third step draws the second token, this one the third and last.
        let fourth = plan(&scheduler)
        update(&scheduler, third)
        // So number 1 isn't in the next one, though it hasn't ended yet.
        let fifth = plan(&scheduler)
        #expect(shares(of: fifth) == [2: 1] && scheduler.running.count == 2)
        update(&scheduler, fourth)
        #expect(scheduler.running.map(\.requestID.number) == [2])
        #expect(scheduler.statistics.generatedTokens == 6)
    }

    /// What ends unexpectedly is in the step planned ahead, which brings it nothing any more.
    @Test func whatHasEndedIsComputedInVain() throws {
        var scheduler = scheduler(blocks: 4)
        try add(1, prompt: 15, answer: 20, to: &scheduler)
        try add(2, prompt: 15, answer: 20, to: &scheduler)
        let first = plan(&scheduler)
        let second = plan(&scheduler)
        update(&scheduler, first, token: 0)
        #expect(scheduler.running.isEmpty && scheduler.pool.freeCount == 4)
        let current = second.entries.count { $0.isCurrent }
        #expect(current == 0)
        update(&scheduler, second)
        scheduler.failStep(second) { _ in Issue.record("nobody is left to fail") }
        #expect(scheduler.statistics.generatedTokens == 2 && !scheduler.hasWork)
        // One that was sent back is drawn its token anew, though it runs again.
        try add(3, prompt: 20, answer: 20, to: &scheduler)
        let third = plan(&scheduler)
        scheduler.preempt(scheduler.running[0])
        let fourth = plan(&scheduler)
        update(&scheduler, third)
        #expect(scheduler.running[0].answerCount == 0)
        update(&scheduler, fourth)
        #expect(scheduler.running[0].answerCount == 1)
    }

    @Test func promptsAreReadInChunksAndAnswersComeFirst() throws {
        var scheduler = scheduler()
        try add(1, prompt: 100, to: &scheduler)
        try add(2, prompt: 40, to: &scheduler)
        #expect(step(&scheduler) == [1: 64])
        #expect(step(&scheduler) == [1: 36, 2: 28])
        #expect(step(&scheduler) == [1: 1, 2: 12])
        #expect(step(&scheduler) == [1: 1, 2: 1])
    }

    @Test func longPromptsKeepToTheThreshold() throws {
        var scheduler = scheduler { $0.longPrefillTokenThreshold = 20 }
        try add(1, prompt: 100, to: &scheduler)
        try add(2, prompt: 30, to: &scheduler)
        #expect(step(&scheduler) == [1: 20, 2: 20])
        #expect(step(&scheduler) == [1: 20, 2: 10])
    }

    /// Beside an answer a prompt takes its share, and less of it the longer its context is.
    @Test func promptsLeaveAnswersTheirTime() throws {
        var scheduler = scheduler(budget: 400, blocks: 1000) {
            $0.prefillShare = 0.25
            $0.doublingContext = 1000
        }
        try add(1, prompt: 10, answer: 5000, to: &scheduler)
        step(&scheduler)
        try add(2, prompt: 5000, to: &scheduler)
        var chunks: [Int] = []
        while let chunk = step(&scheduler)[2], chunk > 1 { chunks.append(chunk) }
        #expect(chunks[0] > 90 && chunks[0] <= 100)
        #expect(zip(chunks, chunks.dropFirst()).allSatisfy { $0 >= $1 })
        #expect((16...20).contains(chunks[chunks.count - 2]))
    }

    @Test func noMoreRunThanMay() throws {
        var scheduler = scheduler(sequences: 2)
        for id in 1...3 as ClosedRange<UInt64> { try add(id, prompt: 5, answer: 2, to: &scheduler) }
        #expect(Set(step(&scheduler).keys) == [1, 2])
        #expect(Set(step(&scheduler).keys) == [1, 2])
        #expect(Set(step(&scheduler).keys) == [3])
        // Never more than a step has tokens.
        #expect(SchedulerConfiguration(maxNumBatchedTokens: 3, maxNumSeqs: 8).maxNumSeqs == 3)
    }

    /// Who came last goes, and comes back before those that came later.
    @Test func preemptionTakesTheLast() throws {
        var scheduler = scheduler(blocks: 5)
        try add(1, prompt: 30, answer: 49, to: &scheduler)
        try add(2, prompt: 30, answer: 49, to: &scheduler)
        step(&scheduler)
        try add(3, prompt: 17, answer: 5, to: &scheduler)
        var plan: [UInt64: Int] = [:]
        for _ in 0..<4 { plan = step(&scheduler) }
        // Both want a third block; there is one.
        #expect(plan == [1: 1] && scheduler.statistics.preemptions == 1)
        #expect(scheduler.waitingSequences.map(\.requestID.number) == [2, 3])
        // Number 2 doesn't fit beside number 1 before that one is finished, and number 3 doesn't overtake it.
        while let next = step(&scheduler).keys.max(), next == 1 {}
        #expect(scheduler.running.first?.requestID.number == 2)
    }

    @Test func priorityDecidesWhoComesAndWhoGoes() throws {
        var scheduler = scheduler(sequences: 2, blocks: 6) { $0.policy = .priority }
        try add(1, prompt: 20, answer: 70, priority: 5, to: &scheduler)
        step(&scheduler)
        try add(2, prompt: 20, answer: 70, priority: 1, to: &scheduler)
        try add(3, prompt: 20, answer: 70, priority: 0, to: &scheduler)
        #expect(Set(step(&scheduler).keys) == [1, 3])
        while scheduler.statistics.preemptions == 0 { step(&scheduler) }
        #expect(scheduler.running.map(\.requestID.number) == [3])
        #expect(scheduler.waitingSequences.map(\.requestID.number) == [2, 1])
    }

    @Test func firstComeFirstServedKnowsNoPriority() throws {
        var scheduler = scheduler(sequences: 1)
        try add(1, prompt: 5, priority: 9, to: &scheduler)
        try add(2, prompt: 5, priority: 0, to: &scheduler)
        #expect(Set(step(&scheduler).keys) == [1])
    }

    /// A prompt is admitted when it fits as a whole.
    @Test func promptsWaitUntilTheyFit() throws {
        var scheduler = scheduler(budget: 16, blocks: 10)
        try add(1, prompt: 80, answer: 80, to: &scheduler)
        step(&scheduler)
        try add(2, prompt: 90, answer: 10, to: &scheduler)
        for _ in 0..<10 { #expect(step(&scheduler)[2] == nil) }
    }

    /// Blocks that a running prompt will need are not given to another.
    @Test func promptsKeepWhatTheyWereAdmittedFor() throws {
        var scheduler = scheduler(budget: 64, blocks: 60) { $0.longPrefillTokenThreshold = 16 }
        for id in 1...4 as ClosedRange<UInt64> { try add(id, prompt: 600, answer: 10, to: &scheduler) }
        for _ in 0..<300 { step(&scheduler) }
        #expect(scheduler.statistics.preemptions == 0 && !scheduler.hasWork)
    }

    @Test func workAndTokensAgree() {
        var configuration = SchedulerConfiguration(maxNumBatchedTokens: 512, maxNumSeqs: 8)
        for doubling in [1, 100, 3000, Int.max] {
            configuration.doublingContext = doubling
            for context in [0, 1, 500, 8000, 1_000_000] {
                for work in [1, 7.5, 128, 5000] {
                    let count = configuration.tokenCount(costing: work, context: context)
                    #expect(count == 1 || configuration.work(of: count, context: context) <= work * (1 + 1e-9))
                    #expect(configuration.work(of: count + 1, context: context) > work * (1 - 1e-9))
                }
            }
        }
    }
}
