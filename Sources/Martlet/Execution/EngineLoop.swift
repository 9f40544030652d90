// SPDX-License-Identifier: Apache-2.0

import MartletCompute
import Synchronization

/// The engine's thread: takes commands, lets the scheduler plan a step, the runner compute it, and the readers know.
///
/// It owns the model's state, so nothing here is locked but the mailbox, once a step. Where the runner prepares ahead, a
/// turn plans step n + 1 while step n runs, waits for step n, submits step n + 1, and then tells readers of step n.
package final class EngineLoop {
    package var scheduler: Scheduler
    private let runner: any StepRunner
    private let mailbox: Mailbox
    private let counters: EngineCounters
    private let trace: EngineTrace?
    private let lifetime: EngineLifetime
    /// The step that is planned and not submitted yet.
    private var planned = StepPlan()
    /// The step that is submitted and not finished yet; empty between two turns unless the runner prepares ahead.
    private var submitted = StepPlan()
    /// When the submitted step was, for the trace.
    private var submittedAt: UInt64 = 0
    private var output = StepOutput()
    /// Events of `output` that readers haven't been told yet.
    private var events: [SchedulerEvent] = []
    private var updateTime = ContinuousClock.now
    private var inbox: [EngineCommand] = []
    private var active: [RequestID: ActiveRequest] = [:]
    /// Requests whose readers left too much unread in the current step.
    private var cutOff: [RequestID] = []
    /// Blocks before this one have memory behind them.
    private var populated = 0
    /// Steps of the largest size for whose tokens there is memory before they are asked for.
    private static let stepsAhead = 8
    /// Tokens whose memory a request, should one come, waits for.
    private static let tokensAtATime = 128
    private var isStopping = false
    /// Whether what comes now is refused: the time for what was asked before is over.
    private var isRefusing = false

    private struct ActiveRequest {
        let channel: TokenChannel
        let promptTokens: Int
        var unfinishedSamples: Int
    }

    package init(
        scheduler: Scheduler, runner: any StepRunner, mailbox: Mailbox, counters: EngineCounters,
        lifetime: EngineLifetime = EngineLifetime(), trace: EngineTrace? = nil
    ) {
        self.lifetime = lifetime
        self.scheduler = scheduler
        self.runner = runner
        self.mailbox = mailbox
        self.counters = counters
        self.trace = trace
        counters.publish(scheduler)
    }

    /// Whether a turn has anything to do but to wait for commands.
    package var hasWork: Bool { scheduler.hasWork || !submitted.isEmpty }

    /// Serves until it is told to stop and nothing is left to do.
    func run() {
        while hasWork || !isStopping { turn(waits: !hasWork) }
        isRefusing = true
        for command in mailbox.close() { handle(command) }
        counters.publish(scheduler)
    }

    /// Does what the mailbox holds, or comes to hold, and a step if there is work.
    package func turn(waits: Bool) {
        if waits {
            populateAhead()
            mailbox.wait(into: &inbox)
        } else {
            mailbox.drain(into: &inbox)
        }
        for command in inbox { handle(command) }
        inbox.removeAll(keepingCapacity: true)
        if hasWork { step() }
        counters.publish(scheduler)
    }

    /// While no request is there, has the system find and clear memory behind the blocks that are given out next, which
    /// would otherwise take part of a prompt's time. Not behind all, because most engines never need that much.
    private func populateAhead() {
        let tokens = Self.stepsAhead * scheduler.configuration.maxNumBatchedTokens
        let blocks = tokens / scheduler.pool.blockSize * scheduler.pool.groups.count
        let goal = min(scheduler.pool.highWaterMark + blocks, scheduler.pool.blockCount + 1)
        // What was given out meanwhile has been written to.
        populated = max(populated, scheduler.pool.highWaterMark)
        let count = max(1, Self.tokensAtATime / scheduler.pool.blockSize)
        while populated < goal, mailbox.isEmpty {
            let blocks = populated..<min(populated + count, goal)
            runner.populate(blocks)
            populated = blocks.upperBound
        }
    }

    private func handle(_ command: EngineCommand) {
        switch command {
        case .add(let id, let request, let channel):
            active[id] = ActiveRequest(
                channel: channel, promptTokens: request.promptTokens.count, unfinishedSamples: request.sampleCount)
            // Its reader may have gone while it was on its way.
            let state = channel.end
            guard state == .open else { return end(id, state) }
            if isRefusing { end(id, .stopped) } else { scheduler.add(request, id: id) }
        case .cancel(let id, let sample):
            active[id]?.unfinishedSamples -= scheduler.cancel(id, sample: sample)
            // A reader that cancels its last sample by itself can still read the other samples' events.
            if !scheduler.isServing(id) { end(id, sample == nil ? .cancelled : .finished) }
        case .cancelAll(let end):
            if end == .stopped { isRefusing = true }
            for id in active.keys { scheduler.cancel(id) }
            self.end(Array(active.keys), end)
        case .stop: isStopping = true
        }
    }

    private func step() {
        if runner.preparesAhead { stepAhead() } else { stepAtOnce() }
    }

    private func stepAtOnce() {
        let start = trace?.now ?? 0
        planNext()
        guard submitPlanned() else { return }
        let values = submitted.traceValues
        finishSubmitted()
        deliverEvents()
        trace?.record(\.step, from: start, values)
    }

    /// Plans a step while the one before it runs, and leaves it running.
    private func stepAhead() {
        planNext()
        if !submitted.isEmpty {
            let values = submitted.traceValues
            finishSubmitted()
            trace?.record(\.step, from: submittedAt, values)
        }
        submittedAt = trace?.now ?? 0
        submitPlanned()
        deliverEvents()
    }

    private func planNext() {
        trace.span(\.schedule) { scheduler.schedule(into: &planned) }
        if !planned.isEmpty { runner.prepare(planned) }
    }

    /// - Returns: whether a step was submitted.
    @discardableResult private func submitPlanned() -> Bool {
        // All sequences of a step that was planned ahead may have ended with the step before.
        guard planned.entries.contains(where: \.isCurrent) else {
            planned.removeAll()
            return false
        }
        noteScheduled()
        swap(&planned, &submitted)
        do {
            try runner.submit(submitted)
            return true
        } catch {
            failSubmitted(error)
            return false
        }
    }

    private func finishSubmitted() {
        guard !submitted.isEmpty else { return }
        do {
            try runner.finish(submitted, into: &output)
            trace.span(\.update) { update() }
        } catch {
            failSubmitted(error)
        }
    }

    private func failSubmitted(_ error: any Error) {
        // Readers are told of the step before this one first.
        deliverEvents()
        if let error = error as? DeviceError, error.code == .lost { return lose(error) }
        counters.steps.wrappingAdd(1, ordering: .relaxed)
        var failed: [RequestID] = []
        scheduler.failStep(submitted) { failed.append($0) }
        submitted.removeAll()
        end(failed, .stepFailed, failure: "\(error)")
    }

    /// The device is lost, and with it all that the cache held: every request fails, and the engine ends.
    private func lose(_ error: DeviceError) {
        lifetime.fail(error)
        submitted.removeAll()
        planned.removeAll()
        (isStopping, isRefusing) = (true, true)
        for id in active.keys { scheduler.cancel(id) }
        end(Array(active.keys), .deviceLost, failure: error.message)
    }

    /// Tells those that are computed for the first time: their time in the queue is over.
    private func noteScheduled() {
        let now = ContinuousClock.now
        for entry in planned.entries where !entry.isDecode {
            active[entry.sequence.requestID]?.channel.noteScheduled(now)
        }
    }

    private func update() {
        updateTime = .now
        counters.count(submitted, logitRows: output.rows.count)
        scheduler.update(submitted, output) { events.append($0) }
        counters.count(output.runtimeMode, attentionLaunches: output.attentionLaunches)
        submitted.removeAll()
        // Before events are delivered: a reader that has read its answer's end finds it counted.
        counters.publish(scheduler)
    }

    /// Tells readers what the last update brought.
    private func deliverEvents() {
        guard !events.isEmpty else { return }
        trace.span(\.update) { for event in events { deliver(event, updateTime) } }
        events.removeAll(keepingCapacity: true)
        guard !cutOff.isEmpty else { return }
        for id in cutOff { scheduler.cancel(id) }
        end(cutOff, .slowReader)
        cutOff.removeAll(keepingCapacity: true)
    }

    private func deliver(_ event: SchedulerEvent, _ now: ContinuousClock.Instant) {
        switch event {
        case .scored(let sequence, let row):
            let event = TokenEvent(
                kind: .scored, sample: 0, token: row.sampled.token, logprob: row.sampled.targetLogprob, time: now)
            push(event, output.topLogprobs[row.top], of: sequence)
        case .token(let sequence, let row):
            let event = TokenEvent(
                kind: .token, sample: Int32(sequence.sampleIndex), token: row.sampled.token,
                logprob: row.sampled.logprob, time: now)
            push(event, output.topLogprobs[row.top], of: sequence)
        case .finished(let sequence, let finish):
            push(TokenEvent(kind: .finished(finish), sample: Int32(sequence.sampleIndex), time: now), [], of: sequence)
            let id = sequence.requestID
            active[id]?.unfinishedSamples -= 1
            if active[id]?.unfinishedSamples == 0, !cutOff.contains(id) { end(id, .finished) }
        case .failed(let id, .notFinite): end(id, .notFinite)
        case .failed(let id, .nothingAllowed): end(id, .nothingAllowed)
        }
    }

    private func push(_ event: TokenEvent, _ top: ArraySlice<TokenLogprob>, of sequence: SequenceState) {
        let id = sequence.requestID
        guard let channel = active[id]?.channel else { return }
        if sequence.answerCount == 1, sequence.sampleIndex == 0 {
            channel.cachedTokens.store(sequence.cachedCount, ordering: .relaxed)
        }
        if !channel.push(event, top: top), !cutOff.contains(id) { cutOff.append(id) }
    }

    /// Ends requests that the scheduler has already let go of, once that can be seen from outside.
    private func end(_ ids: [RequestID], _ end: ChannelEnd, failure: String = "") {
        counters.publish(scheduler)
        for id in ids { self.end(id, end, failure: failure) }
    }

    private func end(_ id: RequestID, _ end: ChannelEnd, failure: String = "") {
        guard let request = active.removeValue(forKey: id) else { return }
        if end != .finished, end != .cancelled { counters.failedRequests.wrappingAdd(1, ordering: .relaxed) }
        counters.requests.wrappingSubtract(1, ordering: .relaxed)
        counters.requestedPromptTokens.wrappingSubtract(request.promptTokens, ordering: .relaxed)
        request.channel.close(end, failure: failure)
    }
}
