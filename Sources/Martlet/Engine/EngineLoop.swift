// SPDX-License-Identifier: Apache-2.0

import MartletCompute
import MartletText

/// Owns the model's state on the engine's thread and serves one request after another.
final class EngineLoop {
    private let runner: ModelRunner
    private let tokenizer: Tokenizer
    private var blocks: BlockPool

    init(runner: ModelRunner, tokenizer: Tokenizer, blockCount: Int) {
        self.runner = runner
        self.tokenizer = tokenizer
        blocks = BlockPool(blockCount: blockCount)
    }

    /// Serves until told to stop.
    func serve(_ mailbox: Mailbox) {
        while true {
            switch mailbox.next() {
            case .generate(let request, let continuation, let cancellation):
                do {
                    try generate(request, into: continuation, cancellation)
                    continuation.finish()
                } catch {
                    continuation.finish(throwing: error)
                }
            case .score(let tokens, let positions, let continuation):
                continuation.resume(with: Result { try score(tokens, positions) })
            case .stop: return
            }
        }
    }

    private func generate(
        _ request: ValidatedRequest, into continuation: GenerationStream.Continuation, _ cancellation: CancellationFlag
    ) throws {
        let clock = ContinuousClock()
        let start = clock.now
        var firstToken: ContinuousClock.Instant?
        var sequence = RunningSequence(tokens: request.promptTokens)
        defer { blocks.release(sequence.blockTable) }
        var detokenizer = Detokenizer()
        var completionTokens = 0
        while !cancellation.isSet {
            let last = sequence.tokens.count - 1
            let samples = try sequence.step(on: runner, blocks: &blocks) { position in
                position == last ? request.samplingRow(position: position + 1) : nil
            }
            guard let sample = samples.first else { continue }  // the prompt isn't through yet
            guard sample.token >= 0 else {
                throw EngineError(.notFinite, "the model's logits are not finite; is the file damaged?")
            }
            let now = clock.now
            let firstAt = firstToken ?? now
            firstToken = firstAt
            completionTokens += 1
            sequence.append(sample.token)
            let isEnd = !request.ignoresEndTokens && tokenizer.endTokens.contains(sample.token)
            var piece = GenerationPiece(
                text: detokenizer.append(tokenizer.bytes(of: sample.token)), tokens: [sample.token],
                logprobs: [sample.logprob])
            guard isEnd || completionTokens == request.maxTokens else {
                continuation.yield(piece)
                continue
            }
            piece.text += detokenizer.finish()
            piece.summary = GenerationSummary(
                finishReason: isEnd ? .stop : .length, promptTokens: request.promptTokens.count,
                completionTokens: completionTokens, promptSeconds: (firstAt - start) / .seconds(1),
                generationSeconds: (now - firstAt) / .seconds(1))
            continuation.yield(piece)
            return
        }
    }

    private func score(_ tokens: [Int32], _ positions: Range<Int>) throws -> [TokenScore] {
        // The last token is only looked at.
        var sequence = RunningSequence(tokens: tokens.dropLast())
        defer { blocks.release(sequence.blockTable) }
        var scores: [TokenScore] = []
        while sequence.hasUncomputedTokens {
            let samples = try sequence.step(on: runner, blocks: &blocks) { position in
                positions.contains(position) ? SamplingRow(temperature: 0, target: tokens[position + 1]) : nil
            }
            scores += samples.map { TokenScore(logprob: $0.targetLogprob, likeliest: $0.token) }
        }
        guard scores.allSatisfy({ $0.likeliest >= 0 }) else {
            throw EngineError(.notFinite, "the model's logits are not finite; is the file damaged?")
        }
        return scores
    }
}
