// SPDX-License-Identifier: Apache-2.0

import Martlet
import MartletAttention
import MartletCompute
import MartletTestSupport
import Testing

/// The promise: an answer's bits depend on its own request alone.
@Suite struct BatchInvarianceTests {
    enum Cache: CaseIterable { case cold, warm, off }

    /// One way of serving the same requests.
    struct Circumstances: CustomTestStringConvertible, Sendable {
        var mode: GraphMode
        var others: Int
        var launch: AttentionLaunch
        var budget: Int
        var cache: Cache
        var isPreempted: Bool
        var threads: Int

        var testDescription: String {
            "\(mode.rawValue), among \(others), \(launch), \(budget) tokens a step, cache \(cache), "
                + "\(isPreempted ? "" : "not ")preempted, \(threads) threads"
        }

        static let all = GraphMode.allCases.flatMap { mode in
            AttentionLaunch.allCases.filter { $0 != .auto }.flatMap { launch in
                [16, 64, 2048].flatMap { budget in
                    Cache.allCases.flatMap { cache in
                        [1, 2].flatMap { threads in
                            [0, 16].flatMap { others in
                                [false, true].map { isPreempted in
                                    Circumstances(
                                        mode: mode, others: others, launch: launch, budget: budget, cache: cache,
                                        isPreempted: isPreempted, threads: threads)
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    /// Over a segment of attention and many blocks: greedy, drawn with everything that changes logits, and scored.
    static let targets: [GenerationRequest] = [
        .random(530, seed: 11, answer: 24) { $0.logprobs = 3 },
        .random(77, seed: 12, answer: 24) {
            ($0.n, $0.seed, $0.temperature, $0.topP, $0.topK) = (2, 9, 4, 0.95, 100)
            ($0.repetitionPenalty, $0.presencePenalty, $0.frequencyPenalty) = (1.2, 0.3, 0.2)
            ($0.logitBias, $0.badWords) = ([5: 2, 6: -3], [[1, 2]])
        },
        .random(90, seed: 13, answer: 8) { ($0.promptLogprobs, $0.logprobs) = (2, 2) },
    ]

    static func model() throws -> TemporaryFile {
        var model = TinyModel()
        model.contextLength = 1024
        model.hasBias = true
        return try model.write()
    }

    @Test func theWholeProductGivesTheSameBits() throws {
        #expect(Circumstances.all.count == 720)
        let file = try Self.model()
        let expected = try serve(Circumstances.all[0], file.path).outcomes
        for outcome in expected {
            #expect(outcome.end == .finished && outcome.tokens.allSatisfy { $0.count >= 8 })
        }
        #expect(expected[2].scores.count == 89)
        for circumstances in Circumstances.all {
            let (outcomes, statistics, steps) = try serve(circumstances, file.path)
            for (outcome, expected) in zip(outcomes, expected) {
                #expect(outcome == expected, "\(circumstances.testDescription)")
            }
            // What the circumstances promise did happen.
            #expect((statistics.preemptions > 0) == circumstances.isPreempted)
            // The scored prompt is never taken from the cache; the others are preempted into it at the most.
            if circumstances.cache == .warm { #expect(statistics.prefixCacheHits > 500) }
            if circumstances.cache == .off { #expect(statistics.prefixCacheHits == 0) }
            let (isOnlyFull, isNeverFull) = (
                circumstances.mode.mixed == .full, circumstances.mode.uniformDecode == .none
            )
            #expect(steps.full == steps.all || !isOnlyFull)
            #expect(steps.full > 0 || circumstances.mode.uniformDecode != .full)
            #expect(steps.piecewise > 0 || circumstances.mode.mixed != .piecewise)
            #expect(steps.full + steps.piecewise < steps.all || circumstances.mode.mixed != .none)
            #expect(steps.full + steps.piecewise == 0 || !isNeverFull)
        }
    }

    /// Heads of whole panels and pairs of blocks, of which more is done at once, and lone rows: each request by itself,
    /// whose answers are such rows, is the expectation.
    @Test(arguments: [ElementType.q4_1, .q8_0, .bfloat16]) func wholeHeadsGiveTheSameBits(_ type: ElementType) throws {
        var model = TinyModel()
        (model.contextLength, model.headSize, model.hasBias, model.type) = (1024, 64, true, type)
        let file = try model.write()
        let circumstances = Circumstances.all.filter { $0.cache == .off && !$0.isPreempted && $0.budget != 64 }
        let expected = try Self.targets.map { try serve(circumstances[0], file.path, targets: [$0]).outcomes[0] }
        for outcome in expected { #expect(outcome.end == .finished) }
        for var circumstances in circumstances {
            // More threads than KV heads, and than some phases have items.
            if circumstances.threads == 2, circumstances.budget == 16 { circumstances.threads = 5 }
            let outcomes = try serve(circumstances, file.path).outcomes
            #expect(outcomes == expected, "\(circumstances.testDescription)")
            guard circumstances.others == 0 else { continue }
            let alone = try Self.targets.map { try serve(circumstances, file.path, targets: [$0]).outcomes[0] }
            #expect(alone == expected, "one by one: \(circumstances.testDescription)")
        }
    }

    /// Layers with windows, whose blocks are given back as the windows pass them.
    @Test(arguments: ["gemma3", "gpt_oss", "olmo3"]) func windowsGiveTheSameBits(_ name: String) throws {
        let header = try #require(CheckpointHeader.all.first { $0.name == name })
        let file = try TemporaryFile(header.randomModel(contextLength: 1024).file)
        let circumstances = Circumstances.all.filter { $0.mode.mixed == $0.mode.uniformDecode && $0.threads == 2 }
        let expected = try Self.targets.map { target in
            try serve(circumstances[0], file.path, targets: [target]).outcomes[0]
        }
        for outcome in expected { #expect(outcome.end == .finished) }
        for circumstances in circumstances {
            let (outcomes, statistics, _) = try serve(circumstances, file.path)
            #expect(outcomes == expected, "\(circumstances.testDescription)")
            if circumstances.cache == .warm { #expect(statistics.prefixCacheHits > 500) }
        }
    }

    /// A long answer takes no more blocks than its windows and what sees all tokens.
    @Test func windowsGiveTheirBlocksBack() throws {
        let header = try #require(CheckpointHeader.all.first { $0.name == "gemma3" })
        let file = try TemporaryFile(header.randomModel(contextLength: 1024).file)
        let engine = try ManualEngine(file.path) { ($0.maxNumBatchedTokens, $0.enablePrefixCaching) = (16, false) }
        let submission = try engine.submit(.random(600, seed: 3, answer: 200))
        var most = 0
        repeat {
            engine.turn()
            submission.read()
            most = max(most, engine.blocks - engine.freeBlocks)
        } while engine.hasWork
        // 800 tokens are 50 blocks. Five groups hold a window of 12 tokens, a tile of 64, and a step's 16 at most.
        #expect(most <= 50 + 5 * 7 && most > 50)
        #expect(engine.freeBlocks == engine.blocks)
    }

    private func serve(
        _ circumstances: Circumstances, _ path: String, targets: [GenerationRequest] = targets
    ) throws -> (
        outcomes: [ManualEngine.Outcome], statistics: SchedulerStatistics,
        steps: (all: Int, full: Int, piecewise: Int)
    ) {
        let engine = try ManualEngine(path) {
            $0.graphMode = circumstances.mode
            $0.threads = circumstances.threads
            $0.attentionLaunch = circumstances.launch
            $0.maxNumBatchedTokens = circumstances.budget
            $0.enablePrefixCaching = circumstances.cache != .off
            $0.numBlocksOverride = 1024
        }
        if circumstances.cache == .warm {
            for target in targets { _ = try engine.submit(target) }
            engine.finish()
        }
        // Some before it and some after it, of all lengths; some draw, some end sooner.
        let others = (0..<circumstances.others).map { index in
            GenerationRequest.random(1 + index * index * 2 % 300, seed: 100 + UInt64(index), answer: 3 + index * 3) {
                ($0.temperature, $0.seed) = (index % 2 == 0 ? 0 : 4, 7)
            }
        }
        for other in others.prefix(circumstances.others / 2) { _ = try engine.submit(other) }
        let submissions = try targets.map { try engine.submit($0) }
        for other in others.dropFirst(circumstances.others / 2) { _ = try engine.submit(other) }
        var turns = 0
        var preemptedAnswers = 0
        repeat {
            engine.turn()
            turns += 1
            // Once while prompts are read, and once while each of the targets is answered.
            let answered = submissions.count { submission in
                (4..<24).contains(submission.read().tokens[0].count)
            }
            if circumstances.isPreempted, turns == 2 || answered > preemptedAnswers {
                preemptedAnswers = max(preemptedAnswers, answered)
                engine.preemptAll()
            }
        } while engine.hasWork
        #expect(engine.freeBlocks == engine.blocks)
        let counts = EngineStatistics(engine.counters, blocks: engine.blocks)
        return (
            submissions.map { $0.read() }, engine.loop.scheduler.statistics,
            (counts.steps, counts.fullGraphSteps, counts.piecewiseGraphSteps)
        )
    }

    /// A pool too small for all of them preempts by itself, again and again.
    @Test(arguments: [1, 2]) func aTinyPoolChangesNothing(_ threads: Int) throws {
        let file = try Self.model()
        func answers(blocks: Int, together: Bool) throws -> (outcomes: [ManualEngine.Outcome], preemptions: Int) {
            let engine = try ManualEngine(file.path) {
                ($0.threads, $0.numBlocksOverride, $0.maxModelLength) = (threads, blocks, 192)
            }
            let submissions = try (0..<12).map { index in
                let submission = try engine.submit(
                    .random(20 + index * 7, seed: UInt64(index % 5), answer: 60) { ($0.temperature, $0.seed) = (4, 3) })
                if !together { engine.finish() }
                return submission
            }
            engine.finish()
            return (submissions.map { $0.read() }, engine.loop.scheduler.statistics.preemptions)
        }
        let alone = try answers(blocks: 200, together: false)
        let crowded = try answers(blocks: 14, together: true)
        #expect(alone.outcomes == crowded.outcomes)
        #expect(alone.preemptions == 0 && crowded.preemptions > 3)
    }

    /// Parallel samples are those that would be drawn one request at a time.
    @Test func samplesAreIndependent() throws {
        let file = try Self.model()
        func outcome(_ samples: Int) throws -> ManualEngine.Outcome {
            let engine = try ManualEngine(file.path)
            let submission = try engine.submit(
                .random(70, answer: 30) { ($0.n, $0.temperature, $0.seed) = (samples, 5, 5) })
            engine.finish()
            return submission.read()
        }
        let five = try outcome(5)
        #expect(Set(five.tokens).count == 5)
        for count in 1...4 {
            let fewer = try outcome(count)
            #expect(fewer.tokens == Array(five.tokens.prefix(count)))
            #expect(fewer.logprobs == Array(five.logprobs.prefix(count)))
        }
    }
}
