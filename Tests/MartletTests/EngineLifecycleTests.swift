// SPDX-License-Identifier: Apache-2.0

import Dispatch
import Foundation
import Martlet
import MartletCompute
import MartletTestSupport
import Synchronization
import Testing

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
            let task = Task { for try await _ in stream {} }
            if round % 2 == 0 { try await Task.sleep(for: .milliseconds(1)) }
            task.cancel()
            // A reader that had its whole answer by then has nothing to be told.
            do { try await task.value } catch is CancellationError {}
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
