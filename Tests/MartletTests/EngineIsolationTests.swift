// SPDX-License-Identifier: Apache-2.0

import Foundation
import Martlet
import MartletCompute
import MartletTestSupport
import Testing

@Suite struct EngineIsolationTests {
    private func loaded(_ change: (inout EngineOptions) -> Void = { _ in }) throws -> LoadedEngine {
        let file = try TinyModel().write()
        var options = EngineOptions()
        options.threads = 1
        change(&options)
        return try ModelLoader(path: file.path, options: options).load()
    }

    /// A row whose logits are no numbers ends its own request, and changes no bit of its neighbours'.
    @Test func oneRequestsFailureTouchesNoOther() throws {
        let requests = (0..<5).map { GenerationRequest.random(10 + $0, seed: UInt64($0), answer: 20) }
        let healthy = ManualEngine(try loaded())
        let expected = try requests.map { try healthy.submit($0) }
        healthy.finish()
        let parts = try loaded()
        let engine = ManualEngine(
            parts,
            runner: ScriptedRunner(
                parts.runner,
                after: { plan, output in
                    for index in output.rows.indices
                    where plan.entries[output.rows[index].entry].sequence.answerCount == 7 {
                        if plan.entries[output.rows[index].entry].sequence.requestID == RequestID(3) {
                            output.rows[index].sampled.token = SampledToken.notFinite
                        }
                    }
                }))
        let submissions = try requests.map { try engine.submit($0) }
        engine.finish()
        for (index, submission) in submissions.enumerated() {
            let outcome = submission.read()
            if index == 2 {
                #expect(outcome.end == .notFinite && outcome.tokens[0].count == 7)
            } else {
                #expect(outcome == expected[index].read() && outcome.end == .finished)
            }
        }
        #expect(engine.freeBlocks == engine.blocks)
        #expect(engine.counters.failedRequests.load(ordering: .relaxed) == 1)
        #expect(engine.counters.requests.load(ordering: .relaxed) == 0)
    }

    /// A step that can't be computed ends those that are in it; who waits is served.
    @Test func aFailedStepEndsThoseInItOnly() throws {
        let parts = try loaded { $0.maxNumSeqs = 2 }
        var steps = 0
        let engine = ManualEngine(
            parts,
            runner: ScriptedRunner(
                parts.runner,
                before: { _ in
                    steps += 1
                    if steps == 4 { throw ScriptedRunner.Fault() }
                }))
        let submissions = try (0..<4).map { try engine.submit(.random(10, seed: UInt64($0), answer: 8)) }
        engine.finish()
        let ends = submissions.map { $0.read().end }
        #expect(ends == [.stepFailed, .stepFailed, .finished, .finished])
        #expect(submissions[0].channel.failureText == "the device is on fire")
        #expect(engine.freeBlocks == engine.blocks)
    }

    /// A reader that doesn't read is cut off; its neighbour reads on.
    @Test func slowReadersAreCutOff() throws {
        let engine = ManualEngine(try loaded())
        let slow = try engine.submit(.random(10, answer: 200), unreadBytes: 0, patience: .zero)
        let other = try engine.submit(.random(10, seed: 2, answer: 200), unreadBytes: 0, patience: .zero)
        repeat {
            engine.turn()
            other.read()
        } while engine.hasWork
        #expect(slow.channel.end == .slowReader)
        #expect(slow.read().tokens[0].count == 4)
        #expect(other.outcome.end == .finished && other.outcome.tokens[0].count == 200)
        #expect(engine.freeBlocks == engine.blocks)
    }

    /// Wherever the ring overflows, in the last step too, the reader is told.
    @Test func noAnswerIsCutOffSilently() throws {
        for length in 1...10 {
            let engine = ManualEngine(try loaded())
            let submission = try engine.submit(.random(10, answer: length), unreadBytes: 0, patience: .zero)
            engine.finish()
            let outcome = submission.read()
            // The end takes a place as well.
            #expect(outcome.end == (length < 4 ? .finished : .slowReader))
            #expect(outcome.tokens[0].count == min(length, 4))
            #expect(engine.freeBlocks == engine.blocks)
            #expect(engine.counters.requests.load(ordering: .relaxed) == 0)
        }
    }

    /// Waiting, in the middle of the prompt, in the middle of the answer: blocks are free one turn later.
    @Test func cancellingFreesBlocksWithinAStep() throws {
        for turns in [0, 2, 12] {
            let engine = ManualEngine(try loaded { $0.maxNumBatchedTokens = 16 })
            let submission = try engine.submit(.random(100, answer: 50) { $0.n = 2 })
            for _ in 0..<turns { engine.turn() }
            #expect((engine.freeBlocks < engine.blocks) == (turns > 0))
            engine.mailbox.post(.cancel(submission.id, sample: nil))
            engine.turn()
            #expect(engine.freeBlocks == engine.blocks && !engine.hasWork)
            #expect(submission.channel.end == .cancelled)
            // Again, and one that never was.
            engine.mailbox.post(.cancel(submission.id, sample: 1))
            engine.mailbox.post(.cancel(RequestID(99), sample: nil))
            engine.turn()
            #expect(engine.counters.requests.load(ordering: .relaxed) == 0)
        }
    }

    /// One of several samples can be ended; the others go on.
    @Test func samplesAreCancelledOneByOne() throws {
        let engine = ManualEngine(try loaded())
        let submission = try engine.submit(.random(40, answer: 30) { $0.n = 3 })
        for _ in 0..<6 { engine.turn() }
        engine.mailbox.post(.cancel(submission.id, sample: 0))
        engine.finish()
        let outcome = submission.read()
        #expect(outcome.end == .finished)
        #expect(outcome.tokens[0].count < 30 && outcome.tokens[1].count == 30 && outcome.tokens[2].count == 30)
        #expect(engine.freeBlocks == engine.blocks)
    }

    /// Samples hold the prompt's full blocks once.
    @Test(arguments: [true, false]) func samplesShareThePromptsBlocks(_ cachesPrefixes: Bool) throws {
        let engine = ManualEngine(try loaded { $0.enablePrefixCaching = cachesPrefixes })
        _ = try engine.submit(.random(100, answer: 8) { $0.n = 5 })
        for _ in 0..<3 { engine.turn() }
        #expect(engine.loop.scheduler.running.count == 5)
        // Six full blocks for all, and one or two for the rest of each.
        #expect(engine.blocks - engine.freeBlocks == 6 + 5)
        engine.finish()
        #expect(engine.freeBlocks == engine.blocks)
    }

    /// Where the first sample ends with its prompt, the others find the prompt in the cache, scored or not.
    @Test func samplesNeedNoLeader() throws {
        for scores in [nil, 0] {
            var computed = 0
            let parts = try loaded()
            let engine = ManualEngine(
                parts, runner: ScriptedRunner(parts.runner, before: { computed += $0.tokenCount }))
            let submission = try engine.submit(.random(200, answer: 1) { ($0.n, $0.promptLogprobs) = (16, scores) })
            engine.finish()
            #expect(submission.read().end == .finished && computed == 200 + 15 * 8)
        }
    }

    /// While it waits, an engine has memory found for eight steps' tokens: some blocks at a time, until a
    /// request comes.
    @Test func memoryIsFoundAheadWhileNobodyAsks() throws {
        let parts = try loaded { ($0.maxNumBatchedTokens, $0.numBlocksOverride, $0.maxModelLength) = (32, 20, 256) }
        var populated: [Range<Int>] = []
        var ask: () -> Void = {}
        let engine = ManualEngine(
            parts,
            runner: ScriptedRunner(
                parts.runner,
                populating: { blocks in
                    populated.append(blocks)
                    ask()
                }))
        ask = { engine.mailbox.post(.cancel(RequestID(99), sample: nil)) }
        engine.loop.turn(waits: true)
        #expect(populated == [1..<9])
        engine.loop.turn(waits: true)
        #expect(populated == [1..<9, 9..<17])
        _ = try engine.submit(.random(100, answer: 4))
        engine.finish()
        // Seven blocks and sixteen more are more than there are.
        engine.loop.turn(waits: true)
        #expect(populated == [1..<9, 9..<17, 17..<21])
    }

    /// A thousand samples that wait cost no thousand prompts.
    @Test func waitingSamplesShareTheirPrompt() throws {
        let engine = ManualEngine(try loaded { $0.limits.samples = 4096 })
        let submission = try engine.submit(.random(200, answer: 2) { ($0.n, $0.frequencyPenalty) = (4000, 1) })
        engine.turn()
        #expect(engine.loop.scheduler.waitingSequences.allSatisfy { $0.history == nil && !$0.hasBegun })
        engine.mailbox.post(.cancel(submission.id, sample: nil))
        engine.turn()
        #expect(!engine.hasWork)
    }
}
