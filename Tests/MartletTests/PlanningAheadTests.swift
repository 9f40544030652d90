// SPDX-License-Identifier: Apache-2.0

import Martlet
import MartletCPU
import MartletCompute
import MartletReference
import MartletTestSupport
import Synchronization
import Testing

/// A device that runs steps by itself, until one submission fails.
private final class FailingDevice: ForwardingDevice {
    let device = AsynchronousDevice(ReferenceDevice())
    private let error: DeviceError
    private let failing: Int
    private let whenSubmitted: Bool
    private let count = Atomic<Int>(0)

    init(code: DeviceError.Code, submission: Int, whenSubmitted: Bool) {
        error = DeviceError(code: code, message: "it failed")
        failing = submission
        self.whenSubmitted = whenSubmitted
    }

    func submit(_ graphs: [any ExecutionGraph], batch: BatchBuffers) throws -> Completion {
        let completion = try device.submit(graphs, batch: batch)
        guard count.wrappingAdd(1, ordering: .relaxed).newValue == failing else { return completion }
        try completion.wait()
        if whenSubmitted { throw error }
        return Completion { [error] () throws(DeviceError) in throw error }
    }
}

/// A device that runs steps by itself, whose engine plans the next one meanwhile.
@Suite struct PlanningAheadTests {
    /// Prompts of all lengths, answers that end by themselves, samples, penalties, scores, and few blocks for all of them.
    private static let requests = BatchInvarianceTests.targets + (0..<24).map { request($0) }

    private static func request(_ index: Int) -> GenerationRequest {
        .random(1 + index * 29 % 200, seed: 40 + UInt64(index), answer: 3 + index * 2) {
            $0.temperature = index % 2 == 0 ? 0 : 4
            $0.seed = 7
            if index % 5 == 0 { $0.n = 3 }
            if index % 6 == 0 { $0.promptLogprobs = 1 }
            // An answer ends at one of these many tokens of 256.
            $0.stopTokenIDs = (0..<Int32(index % 4 * 8)).map { $0 }
        }
    }

    private func serve(_ file: TemporaryFile, on device: any ComputeDevice, blocks: Int) throws -> (
        outcomes: [ManualEngine.Outcome], engine: ManualEngine
    ) {
        let engine = try ManualEngine(file.path, on: device) {
            $0.numBlocksOverride = blocks
            ($0.maxNumSeqs, $0.maxNumBatchedTokens) = (8, 64)
        }
        var submissions: [ManualEngine.Submission] = []
        for request in Self.requests {
            submissions.append(try engine.submit(request))
            engine.turn()
        }
        engine.finish()
        return (submissions.map { $0.read() }, engine)
    }

    @Test(arguments: [40, 1000]) func stepsPlannedAheadGiveTheSameBits(blocks: Int) throws {
        let file = try BatchInvarianceTests.model()
        let expected = try serve(file, on: CPUDevice(threads: 1), blocks: blocks)
        let device = AsynchronousDevice(try CPUDevice(threads: 1))
        let ahead = try serve(file, on: device, blocks: blocks)
        for (index, (outcome, expected)) in zip(ahead.outcomes, expected.outcomes).enumerated() {
            #expect(outcome.end == .finished && outcome == expected, "request \(index)")
        }
        // Some end by a stop token, some are sent back.
        #expect(ahead.outcomes.contains { $0.tokens[0].count < 3 })
        if blocks == 40 { #expect(ahead.engine.loop.scheduler.statistics.preemptions > 0) }
        #expect(ahead.engine.freeBlocks == ahead.engine.blocks)
        #expect(device.overlaps.load(ordering: .relaxed) == 0)
    }

    /// A turn submits a step and leaves it running; what it brings, the next turn tells.
    @Test func aStepRunsBetweenTurns() throws {
        let file = try TinyModel().write()
        let engine = try ManualEngine(file.path, on: AsynchronousDevice(ReferenceDevice()))
        let submission = try engine.submit(.random(5, answer: 3))
        var counts: [Int] = []
        repeat {
            engine.turn()
            counts.append(submission.read().tokens[0].count)
        } while engine.hasWork
        #expect(counts == [0, 1, 2, 3] && submission.outcome.end == .finished)
        // Nothing was computed in vain: the length was known.
        #expect(engine.counters.steps.load(ordering: .relaxed) == 3)
    }

    /// A request that is cancelled while it runs is told nothing more, and the step is still waited for.
    @Test func cancellingWaitsForTheStep() throws {
        let file = try TinyModel().write()
        let engine = try ManualEngine(file.path, on: AsynchronousDevice(ReferenceDevice()))
        let submission = try engine.submit(.random(5, answer: 30))
        for _ in 0..<4 { engine.turn() }
        engine.mailbox.post(.cancel(submission.id, sample: nil))
        engine.turn()
        #expect(submission.read().end == .cancelled && submission.outcome.tokens[0].count == 3)
        #expect(!engine.hasWork && engine.freeBlocks == engine.blocks)
    }

    /// A step that fails when it is submitted, or later, takes nothing from the answers that the step before completed.
    @Test(arguments: [DeviceError.Code.failed, .lost], [true, false])
    func whatAStepBroughtIsToldThoughTheNextFails(_ code: DeviceError.Code, whenSubmitted: Bool) throws {
        let file = try TinyModel().write()
        let device = FailingDevice(code: code, submission: 4, whenSubmitted: whenSubmitted)
        let engine = try ManualEngine(file.path, on: device)
        let short = try engine.submit(.random(5, seed: 1, answer: 3))
        let long = try engine.submit(.random(5, seed: 2, answer: 30))
        engine.finish()
        #expect(short.read().end == .finished && short.outcome.tokens[0].count == 3)
        #expect(long.read().end == (code == .lost ? .deviceLost : .stepFailed))
        #expect(long.outcome.tokens[0].count == 3)
        #expect(!engine.hasWork && engine.freeBlocks == engine.blocks)
        #expect(engine.counters.failedRequests.load(ordering: .relaxed) == 1)
    }

    /// A row without numbers ends its own request; its neighbours go on, also in the step that was planned with it.
    @Test func aFailedRowIsComputedInVainOnce() throws {
        let file = try TinyModel().write()
        let expected = try ManualEngine(file.path, on: ReferenceDevice())
        let healthy = try expected.submit(.random(6, seed: 2, answer: 12))
        expected.finish()
        var options = EngineOptions()
        options.threads = 1
        let parts = try ModelLoader(path: file.path, options: options).load(on: AsynchronousDevice(ReferenceDevice()))
        let engine = ManualEngine(
            parts,
            runner: ScriptedRunner(
                parts.runner,
                after: { plan, output in
                    for index in output.rows.indices {
                        let sequence = plan.entries[output.rows[index].entry].sequence
                        if sequence.requestID == RequestID(1), sequence.answerCount == 4 {
                            output.rows[index].sampled.token = SampledToken.notFinite
                        }
                    }
                }))
        let failing = try engine.submit(.random(5, seed: 1, answer: 12))
        let other = try engine.submit(.random(6, seed: 2, answer: 12))
        engine.finish()
        #expect(failing.read().end == .notFinite && failing.outcome.tokens[0].count == 4)
        #expect(other.read() == healthy.read() && other.outcome.end == .finished)
        #expect(engine.freeBlocks == engine.blocks)
    }

    /// A lost device is noticed where its step is waited for; the step that is planned behind it is dropped.
    @Test func aLostDeviceEndsWhatIsPlanned() throws {
        let device = AsynchronousDevice(LosableDevice(ReferenceDevice(), submissions: 3))
        let file = try TinyModel().write()
        let engine = try ManualEngine(file.path, on: device)
        let submissions = try (0..<3).map { try engine.submit(.random(5, seed: UInt64($0), answer: 30)) }
        engine.finish()
        for submission in submissions {
            #expect(submission.read().end == .deviceLost && submission.outcome.tokens[0].count == 3)
        }
        #expect(!engine.hasWork && engine.freeBlocks == engine.blocks)
    }
}
