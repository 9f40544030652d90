// SPDX-License-Identifier: Apache-2.0

import MartletText

/// Makes the pieces of answers from the engine's events: bytes to characters, stop strings, summaries.
///
/// Runs in the reader's task, so that the engine's thread does none of it.
struct AnswerAssembler {
    private let request: ValidatedRequest
    private let tokenizer: Tokenizer
    private let start: ContinuousClock.Instant
    private var samples: [Sample]
    private var unfinishedSamples: Int
    /// A sample that a stop string ended, while the engine still computes it.
    private var stoppedSample: Int?

    private struct Sample {
        var detokenizer = Detokenizer()
        var matcher: StopMatcher
        var count = 0
        var lastToken: Int32 = -1
        var first: ContinuousClock.Instant?
        var last: ContinuousClock.Instant?
        var isFinished = false
    }

    init(request: ValidatedRequest, tokenizer: Tokenizer, start: ContinuousClock.Instant) {
        self.request = request
        self.tokenizer = tokenizer
        self.start = start
        let matcher = StopMatcher(stops: request.stopStrings, includesStop: request.includesStopString)
        samples = Array(repeating: Sample(matcher: matcher), count: request.sampleCount)
        unfinishedSamples = request.sampleCount
    }

    /// Whether all samples are finished.
    var isComplete: Bool { unfinishedSamples == 0 }

    mutating func takeStoppedSample() -> Int? {
        defer { stoppedSample = nil }
        return stoppedSample
    }

    /// The last piece of a sample that was not finished when the request was cancelled; nil once there is none left.
    mutating func nextCancelled(_ channel: TokenChannel) -> GenerationPiece? {
        guard let sample = samples.firstIndex(where: { !$0.isFinished }) else { return nil }
        var piece = GenerationPiece(sample: sample)
        end(&piece, .cancelled, nil, channel)
        return piece
    }

    /// A piece of one sample, of all events that there are for it in a row; nil where there are none.
    mutating func next(from channel: TokenChannel) -> GenerationPiece? {
        var piece: GenerationPiece?
        while piece?.summary == nil, let event = channel.peek() {
            let sample = Int(event.sample)
            if let piece, piece.sample != sample { break }
            let top = channel.take()
            guard !samples[sample].isFinished else { continue }
            var next = piece ?? GenerationPiece(sample: sample)
            switch event.kind {
            case .scored:
                next.promptScores.append(TokenScore(logprob: event.logprob, likeliest: event.token, topLogprobs: top))
            case .token:
                next.tokens.append(event.token)
                next.logprobs.append(event.logprob)
                next.times.append(event.time)
                if request.answerLogprobs > 0 { next.topLogprobs.append(Array(top.prefix(request.answerLogprobs))) }
                append(event, to: &next, channel)
            case .finished(let reason): finish(&next, reason, channel)
            }
            piece = next
        }
        return piece
    }

    private mutating func append(_ event: TokenEvent, to piece: inout GenerationPiece, _ channel: TokenChannel) {
        let sample = piece.sample
        samples[sample].count += 1
        samples[sample].lastToken = event.token
        samples[sample].first = samples[sample].first ?? event.time
        samples[sample].last = event.time
        // What ends an answer is no part of it.
        if request.stopTokens.contains(event.token), !request.includesStopString { return }
        let isSpelled = request.spelledStops[event.token] != nil
        let text = samples[sample].detokenizer.append(tokenizer.bytes(of: event.token, includingSpecials: isSpelled))
        guard request.minTokens == 0 || samples[sample].count > request.minTokens else {
            piece.text += samples[sample].matcher.pass(text)
            return
        }
        match(text, in: &piece, channel)
    }

    private mutating func match(_ text: String, in piece: inout GenerationPiece, _ channel: TokenChannel) {
        let match = samples[piece.sample].matcher.append(text)
        piece.text += match.text
        guard let stop = match.stop else { return }
        stoppedSample = piece.sample
        end(&piece, .stop, .string(String(decoding: request.stopStrings[stop], as: UTF8.self)), channel)
    }

    /// The engine has ended the sample: what was held back is certain now.
    private mutating func finish(
        _ piece: inout GenerationPiece, _ reason: GenerationSummary.FinishReason, _ channel: TokenChannel
    ) {
        let sample = piece.sample
        match(samples[sample].detokenizer.finish(), in: &piece, channel)
        guard !samples[sample].isFinished else {
            // A stop string was completed by the very end; the engine has nothing left to end.
            stoppedSample = nil
            return
        }
        piece.text += samples[sample].matcher.finish()
        let last = samples[sample].lastToken
        let isModels = tokenizer.endTokens.contains(last)
        let stop: GenerationSummary.StopReason? =
            request.spelledStops[last].map { .string($0) } ?? (isModels ? nil : .token(last))
        end(&piece, reason, reason == .stop ? stop : nil, channel)
    }

    private mutating func end(
        _ piece: inout GenerationPiece, _ reason: GenerationSummary.FinishReason,
        _ stopReason: GenerationSummary.StopReason?, _ channel: TokenChannel
    ) {
        let sample = samples[piece.sample]
        let first = sample.first ?? ContinuousClock.now
        piece.summary = GenerationSummary(
            finishReason: reason, stopReason: stopReason, promptTokens: request.promptTokens.count,
            cachedTokens: channel.cachedTokens.load(ordering: .relaxed), completionTokens: sample.count,
            queueSeconds: channel.queueSeconds,
            promptSeconds: (first - start) / .seconds(1),
            generationSeconds: ((sample.last ?? first) - first) / .seconds(1))
        samples[piece.sample].isFinished = true
        unfinishedSamples -= 1
    }
}
