// SPDX-License-Identifier: Apache-2.0

import Martlet
import MartletCompute
import MartletTestSupport
import MartletText

/// An engine whose steps are taken by hand, on the test's own thread.
final class ManualEngine {
    /// All that a request was told.
    struct Outcome: Equatable {
        var tokens: [[Int32]]
        var logprobs: [[UInt32]] = []
        var top: [[TokenLogprob]] = []
        var scores: [TokenScore] = []
        var end = ChannelEnd.open

        init(samples: Int) {
            tokens = Array(repeating: [], count: samples)
            logprobs = Array(repeating: [], count: samples)
        }
    }

    final class Submission {
        let id: RequestID
        let request: ValidatedRequest
        let channel: TokenChannel
        private(set) var outcome: Outcome

        fileprivate init(id: RequestID, request: ValidatedRequest, channel: TokenChannel) {
            self.id = id
            self.request = request
            self.channel = channel
            outcome = Outcome(samples: request.sampleCount)
        }

        /// Reads what has come.
        @discardableResult func read() -> Outcome {
            while let event = channel.peek() {
                let top = channel.take()
                switch event.kind {
                case .scored:
                    outcome.scores.append(
                        TokenScore(logprob: event.logprob, likeliest: event.token, topLogprobs: top))
                case .token:
                    outcome.tokens[Int(event.sample)].append(event.token)
                    outcome.logprobs[Int(event.sample)].append(event.logprob.bitPattern)
                    outcome.top.append(top)
                case .finished: break
                }
            }
            outcome.end = channel.end
            return outcome
        }
    }

    let loop: EngineLoop
    let mailbox = Mailbox()
    let counters = EngineCounters()
    let validator: RequestValidator
    let model: LoadedModel
    private var requestCount: UInt64 = 0

    convenience init(
        _ path: String, on device: (any ComputeDevice)? = nil, _ change: (inout EngineOptions) -> Void = { _ in }
    ) throws {
        var options = EngineOptions()
        options.threads = 1
        change(&options)
        try self.init(ModelLoader(path: path, options: options).load(on: device))
    }

    init(_ loaded: LoadedEngine, runner: (any StepRunner)? = nil) {
        model = loaded.model
        validator = loaded.validator
        loop = EngineLoop(
            scheduler: loaded.scheduler, runner: runner ?? loaded.runner, mailbox: mailbox, counters: counters)
    }

    func submit(
        _ request: GenerationRequest, unreadBytes: Int = 1 << 20, patience: Duration = .seconds(30),
        budget: UnreadBudget = UnreadBudget(limit: 1 << 30)
    ) throws -> Submission {
        requestCount += 1
        let id = RequestID(requestCount)
        let validated = try validator.validate(request)
        let channel = TokenChannel(
            for: validated, unreadBytes: unreadBytes, budget: budget, patience: patience)
        counters.requests.wrappingAdd(1, ordering: .relaxed)
        mailbox.post(.add(id, validated, channel))
        return Submission(id: id, request: validated, channel: channel)
    }

    func turn() { loop.turn(waits: false) }

    /// Sends all running sequences back to the queue.
    func preemptAll() {
        for sequence in loop.scheduler.running { loop.scheduler.preempt(sequence) }
    }

    var hasWork: Bool { loop.hasWork }

    /// Steps until nothing is left to do.
    func finish() {
        repeat { turn() } while hasWork
    }

    var freeBlocks: Int { loop.scheduler.pool.freeCount }
    var blocks: Int { loop.scheduler.pool.blockCount }
}

extension GenerationRequest {
    /// A prompt of random tokens and a greedy answer of a length.
    static func random(
        _ count: Int, seed: UInt64 = 1, answer: Int, _ change: (inout SamplingParameters) -> Void = { _ in }
    ) -> GenerationRequest {
        var random = SeededGenerator(seed)
        var sampling = SamplingParameters.greedy
        sampling.maxTokens = answer
        sampling.ignoresEndTokens = true
        change(&sampling)
        return GenerationRequest(
            promptTokens: (0..<count).map { _ in Int32.random(in: 0..<256, using: &random) }, sampling: sampling)
    }
}
