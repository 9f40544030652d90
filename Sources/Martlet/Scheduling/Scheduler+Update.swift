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
    /// - Parameter emit: called with what happened, in order.
    package mutating func update(_ output: StepOutput, emit: (SchedulerEvent) -> Void) {
        var row = 0
        for (index, entry) in plan.entries.enumerated() {
            let sequence = entry.sequence
            let rows = row
            while row < output.rows.count, output.rows[row].entry == index { row += 1 }
            // Another sample's failure may have taken it along.
            guard sequence.isRunning else { continue }
            if let failure = failure(output.rows[rows..<row]) {
                fail(sequence.requestID)
                emit(.failed(sequence.requestID, failure))
                continue
            }
            sequence.computedCount += entry.tokenCount
            // The step that ran wrote the table's row as it was.
            sequence.firstChangedBlock = pool.register(
                sequence.tokens, computedCount: sequence.computedCount, chain: &sequence.chain,
                table: &sequence.blockTable)
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
            if let finish = finish(of: sequence) {
                if sequence.request.maxTokens == 0 { statistics.promptTokens += sequence.promptCount }
                remove(sequence)
                emit(.finished(sequence, finish))
            }
        }
        plan.removeAll()
    }

    /// The step could not be computed: ends all requests that were part of it, and no others.
    package mutating func failStep(emit: (RequestID) -> Void) {
        for entry in plan.entries where requests[entry.sequence.requestID] != nil {
            fail(entry.sequence.requestID)
            emit(entry.sequence.requestID)
        }
        plan.removeAll()
    }

    private func failure(_ rows: ArraySlice<StepOutput.Row>) -> SchedulerFailure? {
        guard let row = rows.first(where: { $0.sampled.token < 0 }) else { return nil }
        return row.sampled.token == SampledToken.nothingAllowed ? .nothingAllowed : .notFinite
    }

    private mutating func fail(_ id: RequestID) {
        for sequence in requests[id] ?? [] { remove(sequence) }
    }

    private func finish(of sequence: SequenceState) -> GenerationSummary.FinishReason? {
        let request = sequence.request
        if sequence.answerCount > 0, let last = sequence.tokens.last, request.stopTokens.contains(last) { return .stop }
        guard sequence.answerCount == request.maxTokens else { return nil }
        return request.maxTokens > 0 || sequence.remainingCount == 0 ? .length : nil
    }

    /// Ends a sequence: its blocks are free, and the request goes with its last sample.
    mutating func remove(_ sequence: SequenceState) {
        if sequence.isRunning { release(sequence) } else { waiting.remove(sequence) }
        guard var samples = requests[sequence.requestID],
            let place = samples.firstIndex(where: { $0 === sequence })
        else { return }
        samples.remove(at: place)
        requests[sequence.requestID] = samples.isEmpty ? nil : samples
    }
}
