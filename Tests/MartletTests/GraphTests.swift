// SPDX-License-Identifier: Apache-2.0

import Martlet
import MartletAttention
import MartletCPU
import MartletCompute
import MartletTestSupport
import Testing

@Suite struct GraphModeTests {
    @Test func modesHaveVLLMsMeaning() {
        #expect(
            GraphMode.allCases.map(\.rawValue) == [
                "NONE", "PIECEWISE", "FULL", "FULL_DECODE_ONLY", "FULL_AND_PIECEWISE",
            ])
        #expect(GraphMode.allCases.map(\.uniformDecode) == [.none, .piecewise, .full, .full, .full])
        #expect(GraphMode.allCases.map(\.mixed) == [.none, .piecewise, .full, .none, .piecewise])
        #expect(EngineOptions().graphMode == .full)
    }

    /// Down to what attention can be captured in, for each mode in order.
    @Test(
        arguments: [
            (AttentionGraphSupport.always, 0, [.none, .piecewise, .full, .fullDecodeOnly, .fullAndPiecewise]),
            (.always, 3, [.none, .piecewise, .full, .fullDecodeOnly, .fullAndPiecewise]),
            (.uniformBatch, 0, [.none, .piecewise, .fullAndPiecewise, .fullDecodeOnly, .fullAndPiecewise]),
            (.uniformBatch, 3, [.none, .piecewise, .fullAndPiecewise, .fullDecodeOnly, .fullAndPiecewise]),
            (.uniformSingleTokenDecode, 0, [.none, .piecewise, .fullAndPiecewise, .fullDecodeOnly, .fullAndPiecewise]),
            (.uniformSingleTokenDecode, 3, [.none, .piecewise, .piecewise, .piecewise, .piecewise]),
            (.never, 0, [.none, .piecewise, .piecewise, .piecewise, .piecewise]),
            (.never, 3, [.none, .piecewise, .piecewise, .piecewise, .piecewise]),
        ] as [(AttentionGraphSupport, Int, [GraphMode])])
    func modesResolveToWhatAttentionSupports(
        _ support: AttentionGraphSupport, _ speculated: Int, _ expected: [GraphMode]
    ) {
        let resolved = GraphMode.allCases.map { $0.resolved(for: support, speculatedTokens: speculated) }
        #expect(resolved == expected)
        #expect(resolved.map { $0.resolved(for: support, speculatedTokens: speculated) } == resolved)
    }

    @Test func theEngineSaysWhatItResolvedTo() throws {
        let file = try TinyModel().write()
        let log = Log()
        let device = try RecordingDevice(RecordingDevice.Traits(attentionGraphSupport: .uniformBatch))
        let engine = try ManualEngine(file.path, on: device) { $0.logger = log.logger }
        #expect(engine.model.graphMode == .fullAndPiecewise)
        #expect(log.all.count == 1)
        #expect(log.all[0].hasPrefix("warning: graph mode FULL needs more"))
        #expect(log.all[0].contains("uniformBatch") && log.all[0].hasSuffix("FULL_AND_PIECEWISE"))
        // Whatever a step becomes, decodes have a launch of their own only where all steps are to be one graph.
        let submission = try engine.submit(.random(20, answer: 3))
        engine.finish()
        #expect(submission.read().end == .finished)
        #expect(device.record.runs.joined().filter { $0.program == "body" }.map(\.decodes) == [0, 0, 0])
    }
}

@Suite struct CapturePlanTests {
    private static let capacity = BatchCapacity(tokens: 40, sequences: 12, blocksPerSequence: 4, logitRows: 10)

    private func plan(
        _ mode: GraphMode, sizes: [Int]? = nil, bySize: Bool = true, decodeLength: Int = 1
    ) -> CapturePlan {
        CapturePlan(
            mode: mode, sizes: sizes, capacity: Self.capacity, capturesBySize: bySize, decodeLength: decodeLength)
    }

    @Test func standardSizesEndWhereBatchesDo() {
        #expect(CapturePlan.standardSizes(upTo: 1) == [1])
        #expect(CapturePlan.standardSizes(upTo: 40) == [1, 2, 4, 8, 16, 24, 32, 40])
        #expect(CapturePlan.standardSizes(upTo: 43) == [1, 2, 4, 8, 16, 24, 32, 40, 43])
        #expect(CapturePlan.standardSizes(upTo: 2048).suffix(3) == [2016, 2032, 2048])
        #expect(CapturePlan.standardSizes(upTo: 300).suffix(5) == [248, 256, 272, 288, 300])
        for largest in 1...700 {
            let sizes = CapturePlan.standardSizes(upTo: largest)
            #expect(sizes == Array(Set(sizes)).sorted() && sizes.last == largest)
        }
    }

    @Test func mixedStepsAreCapturedPastTheNumberOfSequences() {
        let plan = plan(.full)
        #expect(plan.body.map(\.extent.rows) == [1, 2, 4, 8, 16, 24, 32, 40])
        #expect(plan.body.map(\.extent.sequences) == [1, 2, 4, 8, 12, 12, 12, 12])
        #expect(plan.body.allSatisfy { $0.mode == .full && !$0.extent.isUniformDecode })
        #expect(plan.head.map(\.extent.rows) == [1, 2, 4, 8, 10])
        #expect(self.plan(.piecewise).body.allSatisfy { $0.mode == .piecewise && !$0.extent.isUniformDecode })
        #expect(self.plan(.none) == CapturePlan(mode: .none, sizes: [4], capacity: Self.capacity, capturesBySize: true))
        #expect(self.plan(.none).body.isEmpty && self.plan(.none).head.isEmpty)
    }

    @Test func decodesAreCapturedApartWhereTheModeSaysSo() {
        let decodes = plan(.fullDecodeOnly).body
        #expect(decodes.map(\.extent.rows) == [1, 2, 4, 8, 12])
        #expect(
            decodes.allSatisfy {
                $0.mode == .full && $0.extent.isUniformDecode && $0.extent.rows == $0.extent.sequences
            })
        let both = plan(.fullAndPiecewise).body
        #expect(both.filter(\.extent.isUniformDecode) == decodes)
        #expect(both.filter { !$0.extent.isUniformDecode } == plan(.piecewise).body)
    }

    /// Where k tokens are speculated, a decode brings 1 + k.
    @Test func uniformDecodesAreWhole() {
        let keys = plan(.fullDecodeOnly, decodeLength: 3).body
        // 12 sequences of 3 are 36 tokens; sizes become multiples of 3.
        #expect(keys.map(\.extent.rows) == [3, 6, 9, 18, 24, 33, 36])
        #expect(keys.allSatisfy { $0.extent.sequences * 3 == $0.extent.rows })
    }

    @Test func askedSizesBoundWhatIsCaptured() {
        #expect(plan(.full, sizes: [16, 4, 4]).body.map(\.extent.rows) == [4, 16])
        #expect(plan(.fullDecodeOnly, sizes: [16, 4]).body.map(\.extent.rows) == [4, 12])
        // No step is longer than the capacity.
        #expect(plan(.full, sizes: [4, 100]).body.map(\.extent.rows) == [4, 40])
        // A device whose graphs run any batch needs the largest alone.
        #expect(plan(.full, bySize: false).body.map(\.extent.rows) == [40])
        #expect(plan(.full, sizes: [4, 16], bySize: false).body.map(\.extent.rows) == [16])
        #expect(plan(.fullAndPiecewise, bySize: false).body.map(\.extent.rows) == [12, 40])
        #expect(plan(.full, bySize: false).head.map(\.extent.rows) == [10])
    }
}

@Suite struct GraphDispatcherTests {
    private static let capacity = BatchCapacity(tokens: 40, sequences: 12, blocksPerSequence: 4, logitRows: 10)

    private func dispatcher(
        _ mode: GraphMode, sizes: [Int]? = nil, decodeLength: Int = 1, traits: RecordingDevice.Traits = .init(),
        log: Log = Log()
    ) throws -> (GraphDispatcher, RecordingDevice) {
        let device = try RecordingDevice(traits)
        let shape = CacheShape(layers: 1, keyValueHeads: 1, headSize: 16, blockSize: 16, blockCount: 1)
        let bindings = ProgramBindings(
            weights: [:], cache: try device.allocateCache(shape),
            workspace: try device.makeWorkspace(Self.capacity))
        let plan = CapturePlan(
            mode: mode, sizes: sizes, capacity: Self.capacity, capturesBySize: device.capturesBySize,
            decodeLength: decodeLength)
        return (
            try GraphDispatcher(
                plan, programs: DecoderPrograms([]), bindings: bindings, on: device, logger: log.logger), device
        )
    }

    private func picked(_ dispatcher: GraphDispatcher, _ tokens: Int, _ sequences: Int, _ uniform: Bool = false)
        -> String
    {
        let dispatch = dispatcher.dispatch(
            body: GraphExtent(rows: tokens, sequences: sequences, isUniformDecode: uniform))
        return dispatch.mode.rawValue + (dispatch.paddedRows.map { " \($0)" } ?? "")
    }

    @Test func theSmallestGraphThatHoldsABatchRunsIt() throws {
        let (full, device) = try dispatcher(.full)
        #expect(picked(full, 1, 1) == "FULL 1" && picked(full, 3, 3, true) == "FULL 4")
        #expect(picked(full, 9, 2) == "FULL 16" && picked(full, 33, 12) == "FULL 40")
        // Largest first, so that memory can be shared.
        #expect(
            device.record.captured.filter { $0.program == "body" }.map(\.key.extent.rows) == [
                40, 32, 24, 16, 8, 4, 2, 1,
            ])
        #expect(full.dispatch(head: 3, beside: .full).paddedRows == 4)
        #expect(full.dispatch(head: 3, beside: .none).mode == .none)

        let (both, _) = try dispatcher(.fullAndPiecewise)
        #expect(picked(both, 3, 3, true) == "FULL 4" && picked(both, 3, 2) == "PIECEWISE 4")
        #expect(picked(both, 12, 12, true) == "FULL 12" && picked(both, 40, 12) == "PIECEWISE 40")

        let (decodes, _) = try dispatcher(.fullDecodeOnly)
        #expect(picked(decodes, 3, 3, true) == "FULL 4" && picked(decodes, 3, 2) == "NONE")

        let (none, eager) = try dispatcher(.none)
        #expect(picked(none, 3, 3, true) == "NONE" && eager.record.captured.isEmpty)

        let (few, _) = try dispatcher(.full, sizes: [4])
        #expect(picked(few, 3, 3) == "FULL 4" && picked(few, 5, 1) == "NONE")
    }

    @Test func uniformDecodesOfSeveralTokensArePaddedByWholeDecodes() throws {
        let (dispatcher, _) = try dispatcher(.fullAndPiecewise, decodeLength: 3)
        #expect(picked(dispatcher, 9, 3, true) == "FULL 9" && picked(dispatcher, 12, 4, true) == "FULL 18")
        #expect(picked(dispatcher, 36, 12, true) == "FULL 36" && picked(dispatcher, 9, 5) == "PIECEWISE 16")
    }

    /// What can't be captured runs in the next larger graph, or kernel by kernel, and a warning says so.
    @Test func failingCapturesFallBack() throws {
        let log = Log()
        let (some, _) = try dispatcher(
            .full,
            traits: .init(refuses: { key, program in
                key.mode == .full && program == "body" && [4, 8, 40].contains(key.extent.rows)
            }), log: log)
        #expect(picked(some, 2, 2) == "FULL 2" && picked(some, 3, 3) == "FULL 16" && picked(some, 33, 12) == "NONE")
        #expect(log.all.count == 3)
        #expect(log.all.allSatisfy { $0.hasPrefix("warning: the body's FULL graph of ") && $0.contains("no memory") })

        let (noDecodes, _) = try dispatcher(
            .fullAndPiecewise, traits: .init(refuses: { key, _ in key.extent.isUniformDecode }))
        #expect(picked(noDecodes, 3, 3, true) == "PIECEWISE 4")

        // Without an eager program there is nothing to fall back to.
        #expect(throws: DeviceError.self) {
            try dispatcher(.full, traits: .init(refuses: { key, _ in key.mode == .none }))
        }
    }
}

/// Engines on a device that captures by size.
@Suite struct GraphReplayTests {
    private static func requests() -> [GenerationRequest] {
        [
            .random(30, seed: 1, answer: 12), .random(3, seed: 2, answer: 14) { ($0.temperature, $0.seed) = (3, 1) },
            .random(50, seed: 3, answer: 5), .random(1, seed: 4, answer: 9),
            .random(20, seed: 5, answer: 4) {
                $0.promptLogprobs = 1
            },
        ]
    }

    /// Some come while others are answered, so that steps are mixes and decodes of all sizes.
    private func serve(
        _ path: String, on device: (any ComputeDevice)?, _ mode: GraphMode = .full, log: Log = Log()
    ) throws -> [ManualEngine.Outcome] {
        let engine = try ManualEngine(path, on: device) {
            ($0.graphMode, $0.maxNumBatchedTokens, $0.maxNumSeqs, $0.logger) = (mode, 24, 4, log.logger)
        }
        var submissions: [ManualEngine.Submission] = []
        for request in Self.requests() {
            submissions.append(try engine.submit(request))
            for _ in 0..<4 { engine.turn() }
        }
        engine.finish()
        // Three at once: steps of three decodes.
        submissions += try (30..<33).map { try engine.submit(.random(4, seed: $0, answer: 6)) }
        engine.finish()
        return submissions.map { $0.read() }
    }

    @Test(arguments: GraphMode.allCases) func paddingChangesNothing(_ mode: GraphMode) throws {
        let file = try TinyModel().write()
        let expected = try serve(file.path, on: nil)
        #expect(expected.allSatisfy { $0.end == .finished })
        let device = try RecordingDevice()
        let outcomes = try serve(file.path, on: device, mode)
        #expect(outcomes == expected)
        let record = device.record
        let runs = record.runs.joined()
        #expect(runs.allSatisfy { $0.isPadded })
        for run in runs {
            let captured = record.captured.filter { $0.program == run.program && $0.key == run.key }
            #expect(captured.count == (run.key.mode == .none ? 0 : 1))
            guard run.key.mode != .none else { continue }
            let fitting = record.captured.filter {
                $0.program == run.program && $0.key.extent.isUniformDecode == run.key.extent.isUniformDecode
                    && $0.key.extent.rows >= run.rows
            }
            #expect(run.key.extent.rows == fitting.map(\.key.extent.rows).min())
        }
        let padded = runs.count { $0.key.mode != .none && $0.rows < $0.key.extent.rows }
        #expect((padded > 0) == (mode != .none))
        // Body and head of a step go together.
        #expect(record.runs.contains { $0.map(\.program) == ["body", "head"] })
        #expect(!record.runs.contains { $0.map(\.program) == ["head"] })
        let modes = Set(runs.filter { $0.program == "body" }.map(\.key.mode))
        #expect(modes == Set([mode.uniformDecode, mode.mixed]))
    }

    /// A graph that first ran a step of decodes runs a mix of as many tokens later, and the other way round. A device
    /// whose launches keep their first sizes (the pull request's defect B) computes something else.
    @Test func graphsServeEveryMix() throws {
        let file = try TinyModel().write()
        func outcomes(_ device: RecordingDevice) throws -> [ManualEngine.Outcome] {
            let engine = try ManualEngine(file.path, on: device) { ($0.maxNumSeqs, $0.maxNumBatchedTokens) = (4, 64) }
            // Four answers at once: steps of four decodes.
            var submissions = try (0..<4).map { try engine.submit(.random(9, seed: $0, answer: $0 == 0 ? 20 : 6)) }
            engine.finish()
            // One answer, and beside it prompts of three tokens: steps of four tokens, one of them a decode.
            submissions.append(try engine.submit(.random(9, seed: 9, answer: 20)))
            for index in 0..<8 {
                engine.turn()
                submissions.append(try engine.submit(.random(3, seed: 20 + UInt64(index), answer: 1)))
            }
            engine.finish()
            return submissions.map { $0.read() }
        }
        let device = try RecordingDevice()
        let right = try outcomes(device)
        let runs = device.record.runs.joined().filter { $0.program == "body" && $0.key.extent.rows == 4 }
        #expect(runs.contains { $0.decodes == 4 && $0.prefills == 0 })
        #expect(runs.contains { $0.decodes == 1 && $0.prefills == 1 && $0.rows == 4 })
        let unpadded = try outcomes(RecordingDevice(RecordingDevice.Traits(capturesBySize: false)))
        #expect(right == unpadded)
        let wrong = try outcomes(RecordingDevice(RecordingDevice.Traits(freezesLaunches: true)))
        #expect(right != wrong)
        // The first step of decodes is captured as it runs, and right.
        #expect(right[0].tokens[0][0] == wrong[0].tokens[0][0])
    }

    @Test func refusedGraphsRunEagerly() throws {
        let file = try TinyModel().write()
        let log = Log()
        let device = try RecordingDevice(RecordingDevice.Traits(refuses: { key, _ in key.mode == .full }))
        let (eager, expected) = (try serve(file.path, on: device, log: log), try serve(file.path, on: nil))
        #expect(eager == expected)
        #expect(device.record.captured.isEmpty && !log.all.isEmpty)
        #expect(device.record.runs.joined().allSatisfy { $0.key.mode == .none })
    }
}

/// The CPU's own graphs.
@Suite struct CPUGraphTests {
    /// What a step costs beside its kernels: wake-ups of the workers, kernels lowered.
    @Test(arguments: [1, 2]) func aFullStepIsOneWakeUpAndNoLowering(_ threads: Int) throws {
        let file = try TinyModel().write()
        let (layers, layerKernels, other) = (TinyModel().layers, 9, 7)
        let expected: [GraphMode: (wakeUps: Int, lowered: Int)] = [
            .full: (1, 0),
            // The pieces between attention layers; the last one and the head go together.
            .piecewise: (2 * layers + 1, layers),
            .none: (layers * layerKernels + other, layers * layerKernels + other),
        ]
        for (mode, counts) in expected {
            let device = try CPUDevice(threads: threads)
            let engine = try ManualEngine(file.path, on: device) { $0.graphMode = mode }
            let submissions = try [5, 60, 9].map { try engine.submit(.random($0, answer: 30)) }
            engine.turn()
            for _ in 0..<20 {
                let before = device.counts
                engine.turn()
                let after = device.counts
                #expect(after.wakeUps - before.wakeUps == counts.wakeUps, "\(mode)")
                #expect(after.loweredKernels - before.loweredKernels == counts.lowered, "\(mode)")
            }
            engine.finish()
            #expect(submissions.allSatisfy { $0.read().end == .finished })
        }
    }

    /// Steps beyond the largest asked size run kernel by kernel.
    @Test func captureSizesBoundTheGraph() throws {
        let file = try TinyModel().write()
        let engine = try ManualEngine(file.path) { $0.graphCaptureSizes = [2, 8] }
        let submission = try engine.submit(.random(20, answer: 5))
        engine.finish()
        let statistics = EngineStatistics(engine.counters, blocks: engine.blocks)
        #expect(submission.read().end == .finished)
        #expect(statistics.steps == 5 && statistics.fullGraphSteps == 4 && statistics.piecewiseGraphSteps == 0)
        for sizes in [[], [0], [4, -1], [1 << 17]] {
            #expect(throws: EngineError.self) { try ManualEngine(file.path) { $0.graphCaptureSizes = sizes } }
        }
    }
}
