// SPDX-License-Identifier: Apache-2.0

import Martlet
import MartletCompute

/// One random life of a scheduler: requests come, are cancelled, share prompts, fail; the pool is too small for all of
/// them. Everything follows from the seed.
struct SchedulerHistory {
    /// What has become of a request.
    private struct Expectation {
        let request: ValidatedRequest
        let answers: [[Int32]]
        var received: [Int]
        var scored = 0
        var finished: [Bool]
    }

    private let seed: UInt64
    private var random: ReplayableRandom
    private var scheduler: Scheduler
    private let model: SimulatedModel
    private let validator: RequestValidator
    private let prompts: [[Int32]]
    private var expected: [RequestID: Expectation] = [:]
    /// The step that is planned, and the one before it, which is submitted and not updated yet.
    private var planned = StepPlan()
    private var submitted = StepPlan()
    private var output = StepOutput()
    private var requestCount: UInt64 = 0
    private var step = 0
    private var allowance = 0
    private(set) var summary = SchedulerSimulation.Summary()

    init(seed: UInt64) {
        self.seed = seed
        var random = ReplayableRandom(seed: DrawKey.mix(seed))
        let blockSize = [1, 2, 3, 4, 16].randomElement(using: &random) ?? 1
        let tile = [1, 4, 16].randomElement(using: &random) ?? 1
        let groups = (Self.windows.randomElement(using: &random) ?? []).map { CacheGroup(window: $0, tile: tile) }
        let blockCount = Int.random(in: 2...40, using: &random) * groups.count
        var configuration = SchedulerConfiguration(
            maxNumBatchedTokens: [1, 3, 8, 16, 64, 512].randomElement(using: &random) ?? 1,
            maxNumSeqs: Int.random(in: 1...8, using: &random))
        configuration.policy = random.oneIn(2) ? .fcfs : .priority
        configuration.longPrefillTokenThreshold = random.oneIn(2) ? 0 : Int.random(in: 1...16, using: &random)
        configuration.prefillShare = [1, 0.5, 0.25, 0.01].randomElement(using: &random) ?? 1
        configuration.doublingContext = [10, 100, .max].randomElement(using: &random) ?? 1
        scheduler = Scheduler(
            configuration: configuration,
            pool: BlockPool(
                blockCount: blockCount, blockSize: blockSize, groups: groups, cachesPrefixes: !random.oneIn(3),
                key: SipHash.Key(low: seed, high: 0, mask: random.oneIn(2) ? .max : 15)))
        model = SimulatedModel(
            seed: seed, blockCount: blockCount, blockSize: blockSize, groups: groups, rows: configuration.maxNumSeqs,
            preparesAhead: random.oneIn(2))
        validator = RequestValidator(
            limits: RequestLimits(),
            maxModelLength: groups.longestSequence(
                in: blockCount, limit: blockCount * blockSize, stepLength: configuration.maxNumBatchedTokens,
                blockSize: blockSize),
            vocabularySize: SimulatedModel.vocabularySize, endTokens: [SimulatedModel.endToken])
        prompts = (0..<3).map { _ in
            (0..<100).map { _ in Int32.random(in: 1..<Int32(SimulatedModel.vocabularySize), using: &random) }
        }
        self.random = random
    }

    /// The windows of models' groups of layers: no group has one, all have one, or some have.
    private static let windows: [[Int?]] = [
        [nil], [nil], [1], [70], [nil, 1], [nil, 5, 5], [nil, 40], [20, 3], [nil, nil, 30, 2],
    ]

    mutating func run() throws(SimulationFailure) {
        let arrivals = Int.random(in: 1...20, using: &random)
        let rate = Int.random(in: 1...6, using: &random)
        while requestCount < arrivals || scheduler.hasWork || !submitted.isEmpty {
            if requestCount < arrivals, random.oneIn(rate) || !scheduler.hasWork { arrive() }
            interfere()
            try advance()
        }
        try require(expected.isEmpty, "requests were forgotten")
        try require(scheduler.pool.freeCount == scheduler.pool.blockCount, "blocks are still held at the end")
        summary.histories = 1
        summary.steps = step
        summary.preemptions = scheduler.statistics.preemptions
        summary.cachedTokens = scheduler.statistics.prefixCacheHits
    }

    private func require(_ condition: Bool, _ message: @autoclosure () -> String) throws(SimulationFailure) {
        guard condition else { throw SimulationFailure(seed: seed, step: step, message: message()) }
    }

    private mutating func arrive() {
        requestCount += 1
        let length = Int.random(in: 1...60, using: &random)
        let shared = Int.random(in: 0...length, using: &random)
        let prompt =
            (prompts.randomElement(using: &random) ?? []).prefix(shared)
            + (0..<length - shared).map { _ in
                Int32.random(in: 1..<Int32(SimulatedModel.vocabularySize), using: &random)
            }
        var request = GenerationRequest(promptTokens: Array(prompt))
        request.sampling.n = random.oneIn(4) ? Int.random(in: 2...5, using: &random) : 1
        request.sampling.maxTokens = Int.random(in: 1...30, using: &random)
        request.priority = Int.random(in: -2...2, using: &random)
        if random.oneIn(5) { request.cacheSalt = "salt \(Int.random(in: 0...1, using: &random))" }
        if random.oneIn(6) {
            request.sampling.promptLogprobs = 0
            if random.oneIn(2) { request.sampling.maxTokens = 0 }
        }
        // Those that can never fit are refused here, as the engine does.
        guard let validated = try? validator.validate(request) else {
            summary.refused += 1
            return
        }
        let id = RequestID(requestCount)
        let answers = (0..<validated.sampleCount).map {
            model.answer(to: validated.promptTokens, sample: $0, maxTokens: validated.maxTokens)
        }
        expected[id] = Expectation(
            request: validated, answers: answers, received: answers.map { _ in 0 },
            finished: answers.map { _ in false })
        // Every token may be computed anew many times, but not for ever.
        allowance += validated.sampleCount * (validated.promptTokens.count + validated.maxTokens + 1) * 200
        scheduler.add(validated, id: id)
        summary.requests += 1
    }

    /// What comes from outside between two steps.
    private mutating func interfere() {
        // Unknown and finished ones too.
        if random.oneIn(25), requestCount > 0 {
            let id = RequestID(UInt64.random(in: 1...requestCount + 1, using: &random))
            if random.oneIn(3), let expectation = expected[id] {
                let sample = Int.random(in: 0..<expectation.answers.count, using: &random)
                scheduler.cancel(id, sample: sample)
                expected[id]?.finished[sample] = true
                if !scheduler.isServing(id) { expected[id] = nil }
            } else {
                scheduler.cancel(id)
                expected[id] = nil
            }
            summary.cancelled += 1
        }
        if random.oneIn(40), let sequence = scheduler.running.randomElement(using: &random) {
            scheduler.preempt(sequence)
        }
    }

    /// Plans a step; runs it, or where the model prepares ahead, the one that was planned before.
    private mutating func advance() throws(SimulationFailure) {
        step += 1
        allowance -= 1
        try require(!scheduler.hasWork || allowance > 0, "no end is in sight")
        try plan()
        if model.preparesAhead {
            try finish()
            // Commands come at any time.
            interfere()
            try submit()
        } else {
            try submit()
            try finish()
        }
        for (id, _) in expected {
            try require(scheduler.isServing(id), "request \(id.number) is gone without an event")
        }
    }

    private mutating func plan() throws(SimulationFailure) {
        let preemptions = scheduler.statistics.preemptions
        let running = scheduler.running
        scheduler.schedule(into: &planned)
        let hasPreempted = scheduler.statistics.preemptions > preemptions
        try check(
            SchedulerInvariants.violation(
                of: planned, scheduler, running: running, hasPreempted: hasPreempted, isAhead: !submitted.isEmpty))
        model.prepare(planned)
        try check(model.mistake)
    }

    private mutating func submit() throws(SimulationFailure) {
        guard planned.entries.contains(where: \.isCurrent) else { return }
        swap(&planned, &submitted)
        summary.computedInVain += submitted.entries.count { !$0.isCurrent }
        model.submit(submitted)
        model.requireExclusiveBlocks(submitted, scheduler.pool)
        try check(model.mistake)
    }

    /// Ends the submitted step and takes its events.
    private mutating func finish() throws(SimulationFailure) {
        guard !submitted.isEmpty else { return }
        let failsStep = random.oneIn(60)
        model.failsSequence = random.oneIn(60) ? Int.random(in: 0..<submitted.entries.count, using: &random) : nil
        if failsStep {
            model.spoil(submitted)
            var ids: [RequestID] = []
            scheduler.failStep(submitted) { ids.append($0) }
            for id in ids { try require(expected.removeValue(forKey: id) != nil, "an unknown request failed") }
            summary.failed += ids.count
        } else {
            model.finish(submitted, into: &output)
            try check(model.mistake)
            var events: [SchedulerEvent] = []
            scheduler.update(submitted, output) { events.append($0) }
            for event in events { try check(take(event)) }
        }
        submitted.removeAll()
    }

    /// Throws the given mistake, or the first invariant that the scheduler breaks.
    private func check(_ mistake: String?) throws(SimulationFailure) {
        if let message = mistake ?? SchedulerInvariants.violation(scheduler) {
            throw SimulationFailure(seed: seed, step: step, message: message)
        }
    }

    private mutating func take(_ event: SchedulerEvent) -> String? {
        switch event {
        case .scored(let sequence, let row):
            guard let expectation = expected[sequence.requestID] else { return "scores of an unknown request" }
            let position = expectation.request.scoredPositions.lowerBound + expectation.scored
            guard row.position == position else { return "position \(row.position) was scored before \(position)" }
            let prompt = expectation.request.promptTokens
            let hash = prompt[...position].reduce(seed) { model.hash($0, then: $1) }
            guard row.sampled.targetLogprob == model.score(of: prompt[position + 1], after: hash) else {
                return "another token was scored"
            }
            expected[sequence.requestID]?.scored += 1
        case .token(let sequence, let row):
            let sample = sequence.sampleIndex
            guard let expectation = expected[sequence.requestID], !expectation.finished[sample] else {
                return "a token after the end"
            }
            let index = expectation.received[sample]
            guard index < expectation.answers[sample].count, expectation.answers[sample][index] == row.sampled.token
            else { return "request \(sequence.requestID.number) is answered another token at \(index)" }
            expected[sequence.requestID]?.received[sample] += 1
            summary.tokens += 1
        case .finished(let sequence, let finish):
            return take(finish, of: sequence)
        case .failed(let id, _):
            summary.failed += 1
            if model.failsSequence == nil || expected.removeValue(forKey: id) == nil {
                return "it failed for no reason"
            }
        }
        return nil
    }

    private mutating func take(_ finish: GenerationSummary.FinishReason, of sequence: SequenceState) -> String? {
        let (id, sample) = (sequence.requestID, sequence.sampleIndex)
        guard let expectation = expected[id], !expectation.finished[sample] else { return "it ended twice" }
        let answer = expectation.answers[sample]
        guard expectation.received[sample] == answer.count else { return "it ended too early" }
        guard (answer.last == SimulatedModel.endToken) == (finish == .stop) else {
            return "it ended for another reason"
        }
        if sample == 0, expectation.scored != expectation.request.scoredPositions.count { return "scores are missing" }
        expected[id]?.finished[sample] = true
        if expected[id]?.finished.allSatisfy({ $0 }) == true { expected[id] = nil }
        return nil
    }
}
