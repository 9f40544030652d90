// SPDX-License-Identifier: Apache-2.0

import MartletCompute

/// What a step brought a request.
package enum SchedulerEvent {
    /// The prompt's token after `row.position` was scored.
    case scored(SequenceState, StepOutput.Row)
    case token(SequenceState, StepOutput.Row)
    case finished(SequenceState, GenerationSummary.FinishReason)
    /// It can't go on. All its samples are gone.
    case failed(RequestID, SchedulerFailure)
}

package enum SchedulerFailure: Sendable {
    /// The model's logits are not numbers.
    case notFinite
    /// The request's own bans left no token.
    case nothingAllowed
}

extension Scheduler {
    /// Takes a planned step's output: sequences get their tokens, full blocks become known to the prefix cache,
    /// finished sequences give their blocks back.
    ///
    /// - Parameters:
    ///   - plan: of the steps without an update the one that was planned first.
    ///   - emit: called with what happened, in order.
    package mutating func update(_ plan: StepPlan, _ output: StepOutput, emit: (SchedulerEvent) -> Void) {
        var row = 0
        for (index, entry) in plan.entries.enumerated() {
            let sequence = entry.sequence
            let rows = row
            while row < output.rows.count, output.rows[row].entry == index { row += 1 }
            // It was cancelled, preempted or taken along by another sample's failure.
            guard entry.isCurrent else { continue }
            if let failure = failure(output.rows[rows..<row]) {
                fail(sequence.requestID)
                emit(.failed(sequence.requestID, failure))
                continue
            }
            let firstChange = pool.register(
                sequence.tokens, computedCount: entry.positions.upperBound, chain: &sequence.chain,
                tables: &sequence.blockTables)
            sequence.firstChangedBlock = min(sequence.firstChangedBlock, firstChange)
            // A step that was planned meanwhile begins where this one ended.
            let reader = firstReader(of: sequence, computedTo: entry.positions.upperBound)
            pool.release(&sequence.blockTables, before: reader)
            for row in output.rows[rows..<row] {
                if row.isSample {
                    if sequence.answerCount == 0 { statistics.promptTokens += sequence.promptCount }
                    statistics.generatedTokens += 1
                    sequence.append(row.sampled.token)
                    emit(.token(sequence, row))
                } else {
                    sequence.scoredEnd = row.position + 1
                    emit(.scored(sequence, row))
                }
            }
            if let finish = finish(of: sequence, computedTo: entry.positions.upperBound) {
                if sequence.request.maxTokens == 0 { statistics.promptTokens += sequence.promptCount }
                remove(sequence)
                emit(.finished(sequence, finish))
            }
        }
    }

    /// The first position whose token still reads a sequence's blocks. Samples that wait for this one's prompt begin behind
    /// the blocks that they share: what their windows hold is kept for as long as a step has tokens.
    private func firstReader(of sequence: SequenceState, computedTo end: Int) -> Int {
        guard sequence.request.sampleCount > 1, sequence.sampleIndex == 0,
            requests[sequence.requestID]?.contains(where: { !$0.hasBegun }) == true
        else { return end }
        let shared = (sequence.promptCount - 1) / pool.blockSize * pool.blockSize
        return end <= shared + configuration.maxNumBatchedTokens ? min(shared, end) : end
    }

    /// The step could not be computed: ends all requests that were part of it, and no others.
    package mutating func failStep(_ plan: StepPlan, emit: (RequestID) -> Void) {
        for entry in plan.entries where entry.isCurrent {
            fail(entry.sequence.requestID)
            emit(entry.sequence.requestID)
        }
    }

    private func failure(_ rows: ArraySlice<StepOutput.Row>) -> SchedulerFailure? {
        guard let row = rows.first(where: { $0.sampled.token < 0 }) else { return nil }
        return row.sampled.token == SampledToken.nothingAllowed ? .nothingAllowed : .notFinite
    }

    private mutating func fail(_ id: RequestID) {
        for sequence in requests[id] ?? [] { remove(sequence) }
    }

    /// - Parameter end: the position behind those that are computed.
    private func finish(of sequence: SequenceState, computedTo end: Int) -> GenerationSummary.FinishReason? {
        let request = sequence.request
        if sequence.answerCount > 0, let last = sequence.tokens.last, request.stopTokens.contains(last) { return .stop }
        guard sequence.answerCount == request.maxTokens else { return nil }
        // A prompt that is only scored ends with the step that has computed it, not with the one that is planned to.
        return request.maxTokens > 0 || end == max(1, sequence.promptCount - 1) ? .length : nil
    }

    /// Ends a sequence: its blocks are free, and the request goes with its last sample.
    mutating func remove(_ sequence: SequenceState) {
        if sequence.isRunning { release(sequence) } else { waiting.remove(sequence) }
        guard var samples = requests[sequence.requestID],
            let index = samples.firstIndex(where: { $0 === sequence })
        else { return }
        samples.remove(at: index)
        requests[sequence.requestID] = samples.isEmpty ? nil : samples
    }
}
