// SPDX-License-Identifier: Apache-2.0

import Dispatch
import Foundation
import MartletCompute
import MartletTestSupport
import Synchronization
import Testing

@testable import Martlet

/// A runner that does what a test wants before it lets the real one compute.
final class ScriptedRunner: StepRunner {
    struct Fault: Error, CustomStringConvertible { let description = "the device is on fire" }

    private let runner: any StepRunner
    private let before: (StepPlan) throws -> Void
    private let after: (StepPlan, inout StepOutput) -> Void
    private let populating: (Range<Int>) -> Void

    init(
        _ runner: any StepRunner, before: @escaping (StepPlan) throws -> Void = { _ in },
        after: @escaping (StepPlan, inout StepOutput) -> Void = { _, _ in },
        populating: @escaping (Range<Int>) -> Void = { _ in }
    ) {
        self.runner = runner
        self.before = before
        self.after = after
        self.populating = populating
    }

    var preparesAhead: Bool { runner.preparesAhead }

    func prepare(_ plan: StepPlan) { runner.prepare(plan) }

    func submit(_ plan: StepPlan) throws {
        try before(plan)
        try runner.submit(plan)
    }

    func finish(_ plan: StepPlan, into output: inout StepOutput) throws {
        try runner.finish(plan, into: &output)
        after(plan, &output)
    }

    func populate(_ blocks: Range<Int>) {
        runner.populate(blocks)
        populating(blocks)
    }
}

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

@Suite struct EngineLifecycleTests {
    private let path: String
    private let file: TemporaryFile

    init() throws {
        file = try TinyModel().write()
        path = file.path
    }

    private func engine(
        _ change: (inout EngineOptions) -> Void = { _ in },
        runner: (@Sendable (any StepRunner) -> any StepRunner)? = nil
    ) async throws -> Engine {
        var options = EngineOptions()
        options.threads = 1
        change(&options)
        return try await Engine.start(options) { [path, options] in
            let loaded = try ModelLoader(path: path, options: options).load()
            return LoadedEngine(
                model: loaded.model, validator: loaded.validator, scheduler: loaded.scheduler,
                runner: runner?(loaded.runner) ?? loaded.runner, trace: loaded.trace)
        }
    }

    /// Waits, for a while, until something holds.
    private func eventually(_ condition: () -> Bool) async throws -> Bool {
        for _ in 0..<2000 where !condition() { try await Task.sleep(for: .milliseconds(5)) }
        return condition()
    }

    @Test(.timeLimit(.minutes(1))) func stoppingServesWhatWasAsked() async throws {
        let engine = try await engine()
        let streams = try (0..<4).map { try engine.generate(.random(20, seed: UInt64($0), answer: 100)) }
        #expect(engine.health == .ready)
        await engine.stop()
        #expect(engine.health == .stopped)
        for stream in streams { #expect(try await stream.answers()[0].tokens.count == 100) }
        #expect(throws: EngineError.self) { try engine.generate(.random(2, answer: 2)) }
        await engine.stop()
    }

    @Test(.timeLimit(.minutes(1))) func settlingWaitsForWhatIsDoneAhead() async throws {
        let populated = Mutex(0)
        let engine = try await engine(
            { $0.maxNumBatchedTokens = 64 },
            runner: {
                ScriptedRunner(
                    $0,
                    populating: { blocks in
                        usleep(20_000)
                        populated.withLock { $0 = blocks.upperBound }
                    })
            })
        await engine.settle()
        #expect(populated.withLock(\.self) == 33)
        _ = try await engine.generate(.random(20, answer: 20)).answers()
        await engine.settle()
        #expect(populated.withLock(\.self) == 36)
        await engine.stop()
        await engine.settle()
    }

    /// What isn't finished in time is cancelled.
    @Test(.timeLimit(.minutes(1))) func stoppingDoesNotWaitForEver() async throws {
        let engine = try await engine(
            runner: { ScriptedRunner($0, before: { _ in usleep(20_000) }) })
        let stream = try engine.generate(.random(20, answer: 200))
        await engine.stop(drain: .milliseconds(100))
        let error = await #expect(throws: EngineError.self) { _ = try await stream.answers() }
        #expect(error?.code == .stopped)
        #expect(engine.statistics.freeBlocks == engine.statistics.blocks)
    }

    @Test(.timeLimit(.minutes(1))) func aStuckStepFailsItsRequestsAndReadiness() async throws {
        let gate = DispatchSemaphore(value: 0)
        let engine = try await engine(
            { $0.watchdogSeconds = 0.4 },
            runner: { ScriptedRunner($0, before: { plan in if plan.tokenCount == 33 { gate.wait() } }) })
        let error = await #expect(throws: EngineError.self) {
            _ = try await engine.generate(.random(33, answer: 5)).answers()
        }
        #expect(error?.code == .stalled && engine.health == .stalled)
        #expect(throws: EngineError.self) { try engine.generate(.random(4, answer: 5)) }
        gate.signal()
        #expect(try await eventually { engine.health == .ready })
        #expect(try await engine.generate(.random(20, answer: 5)).answers()[0].tokens.count == 5)
        #expect(engine.statistics.freeBlocks == engine.statistics.blocks)
    }

    /// What an engine that was let go of still serves is watched too.
    @Test(.timeLimit(.minutes(1))) func aStuckStepIsSeenWithoutTheEngine() async throws {
        let gate = DispatchSemaphore(value: 0)
        var engine: Engine? = try await engine(
            { $0.watchdogSeconds = 0.4 },
            runner: { ScriptedRunner($0, before: { plan in if plan.tokenCount == 33 { gate.wait() } }) })
        let stream = try #require(try engine?.generate(.random(33, answer: 5)))
        engine = nil
        let error = await #expect(throws: EngineError.self) { _ = try await stream.answers() }
        #expect(error?.code == .stalled)
        gate.signal()
    }

    @Test(.timeLimit(.minutes(1))) func whoeverHasReadHisAnswerFindsItCounted() async throws {
        let engine = try await engine()
        for count in 1...30 {
            _ = try await engine.generate(.random(10, seed: UInt64(count), answer: 3)).answers()
            let statistics = engine.statistics
            #expect(statistics.generatedTokens == 3 * count && statistics.steps == 3 * count)
            #expect(statistics.running == 0 && statistics.freeBlocks == statistics.blocks)
        }
    }

    @Test(.timeLimit(.minutes(1))) func aCancelledReaderIsTold() async throws {
        let engine = try await engine()
        let stream = try engine.generate(.random(10, answer: 240))
        let task = Task { try await stream.answers() }
        task.cancel()
        await #expect(throws: CancellationError.self) { _ = try await task.value }
    }

    @Test func limitsOutOfRangeAreRefused() async throws {
        let changes: [(inout RequestLimits) -> Void] = [
            { $0.samples = 0 }, { $0.logprobs = 2000 }, { $0.stopStringBytes = 0 }, { $0.cacheSaltBytes = -1 },
            { $0.unreadBytes = .max }, { $0.queuedRequests = 0 }, { $0.badWords = 1 << 40 },
        ]
        // 0 forbids what can be forbidden.
        let forbidding = try await engine {
            ($0.limits.logprobs, $0.limits.stopStrings, $0.limits.badWords) = (0, 0, 0)
        }
        #expect(throws: EngineError.self) { try forbidding.generate(.random(4, answer: 2) { $0.logprobs = 1 }) }
        #expect(try await forbidding.generate(.random(4, answer: 2)).answers()[0].tokens.count == 2)
        for change in changes {
            let error = await #expect(throws: EngineError.self) { _ = try await engine { change(&$0.limits) } }
            #expect(error?.code == .invalidOptions)
        }
        for change in [
            { $0.maxNumSeqs = 0 }, { $0.maxNumSeqs = 5000 }, { $0.longPrefillTokenThreshold = -1 },
            { $0.prefillShare = 0 }, { $0.prefillShare = .nan }, { $0.watchdogSeconds = 0 },
            { $0.kvCacheMemoryBytes = 1 }, { $0.kvCacheMemoryBytes = .max }, { $0.numBlocksOverride = 0 },
            { $0.numBlocksOverride = 1 << 24 }, { ($0.maxModelLength, $0.numBlocksOverride) = (200, 3) },
            { $0.numBlocksOverride = 3 },
        ] as [(inout EngineOptions) -> Void] {
            await #expect(throws: (any Error).self) { _ = try await engine(change) }
        }
    }

    /// Each engine has lanes of its own, whatever its device records.
    @Test func enginesShareATrace() async throws {
        let trace = TraceRecorder(capacity: 1000)
        for device in [DeviceKind.cpu, .reference] {
            let engine = try await engine { ($0.trace, $0.device, $0.threads) = (trace, device, nil) }
            _ = try await engine.generate(.random(5, answer: 3)).answers()
            await engine.stop()
        }
        #expect(trace.spans(ofLanes: EngineSpan.lane).count { $0.name == EngineSpan.step } == 6)
    }

    @Test(.timeLimit(.minutes(1))) func moreThanTheQueueHoldsIsRefused() async throws {
        let engine = try await engine { ($0.limits.queuedRequests, $0.limits.queuedPromptTokens) = (3, 100) }
        // On a busy machine one may be answered before the fourth is asked; not every time.
        var refusal: EngineError?
        for _ in 0..<50 where refusal == nil {
            let streams = try (0..<3).map { _ in try engine.generate(.random(10, answer: 200)) }
            var fourth: GenerationStream?
            do {
                fourth = try engine.generate(.random(10, answer: 1))
            } catch {
                refusal = error
            }
            _ = try await fourth?.answers()
            for stream in streams { _ = try await stream.answers() }
        }
        #expect(refusal?.code == .overloaded)
        #expect(throws: EngineError.self) { try engine.generate(.random(101, answer: 1)) }
        #expect(try await engine.generate(.random(10, answer: 1)).answers().count == 1)
    }

    /// Ending the reading task, or dropping the stream, ends the request.
    @Test(.timeLimit(.minutes(1))) func whoStopsReadingEndsTheRequest() async throws {
        let engine = try await engine()
        for round in 0..<20 {
            let stream = try engine.generate(.random(10, answer: 240))
            let task = Task {
                var count = 0
                for try await piece in stream { count += piece.tokens.count }
                return count
            }
            if round % 2 == 0 { try await Task.sleep(for: .milliseconds(1)) }
            task.cancel()
            _ = try await task.value
            _ = try engine.generate(.random(10, answer: 240))
        }
        #expect(try await eventually { engine.statistics.freeBlocks == engine.statistics.blocks })
        #expect(try await eventually { engine.statistics.running + engine.statistics.waiting == 0 })
    }

    @Test(.timeLimit(.minutes(1))) func aStreamIsReadOnce() async throws {
        let stream = try await engine().generate(.random(10, answer: 3))
        _ = try await stream.answers()
        await #expect(throws: EngineError.self) { _ = try await stream.answers() }
    }

    /// Many at once over the public interface: each gets what it gets alone.
    @Test(.timeLimit(.minutes(1))) func concurrentReadersGetTheirOwnAnswers() async throws {
        let engine = try await engine { $0.threads = 2 }
        let requests = (0..<40).map { index in
            GenerationRequest.random(5 + index, seed: UInt64(index), answer: 30) {
                ($0.temperature, $0.seed) = (3, UInt64(index))
            }
        }
        let together = try await withThrowingTaskGroup(of: (Int, GeneratedAnswer).self) { group in
            for (index, request) in requests.enumerated() {
                group.addTask { (index, try await engine.generate(request).answers()[0]) }
            }
            return try await group.reduce(into: [Int: GeneratedAnswer]()) { $0[$1.0] = $1.1 }
        }
        for (index, request) in requests.enumerated() {
            let alone = try await engine.generate(request).answers()[0]
            #expect(together[index]?.tokens == alone.tokens && together[index]?.logprobs == alone.logprobs)
            #expect(together[index]?.text == alone.text)
        }
    }
}
