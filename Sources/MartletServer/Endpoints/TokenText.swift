// SPDX-License-Identifier: Apache-2.0

import Martlet
import MartletCompute
import MartletText

/// Names tokens in logprobs: by their text, or by their ids.
struct TokenText: Sendable {
    let tokenizer: Tokenizer
    let namesByID: Bool

    func name(_ token: Int32) -> String {
        namesByID ? "token_id:\(token)" : tokenizer.decode([token], includingSpecials: true)
    }

    /// All of its digits, so that clients who compute with doubles have the very number; what vLLM writes for a
    /// probability of zero, which JSON has no logarithm for.
    static func logprob(_ value: Float) -> JSONValue { .number(value.isFinite ? Double(value) : -9999) }

    func bytes(_ token: Int32) -> JSONValue {
        .array(tokenizer.bytes(of: token, includingSpecials: true).map { .integer(Int($0)) })
    }
}

/// The `logprobs` of `/v1/completions`, as they grow.
struct CompletionLogprobs {
    private let text: TokenText
    private var tokens: [JSONValue] = []
    private var tokenLogprobs: [JSONValue] = []
    private var topLogprobs: [JSONValue] = []
    private var offsets: [JSONValue] = []
    /// Characters before the next token.
    private var offset: Int

    init(_ text: TokenText, offset: Int = 0) {
        self.text = text
        self.offset = offset
    }

    /// The offset of what comes next.
    var nextOffset: Int { offset }

    /// - Parameter logprob: nil for a prompt's first token, which nothing predicts.
    mutating func append(_ token: Int32, _ logprob: Float?, top: [TokenLogprob]) {
        let name = text.name(token)
        tokens.append(.string(name))
        tokenLogprobs.append(logprob.map(TokenText.logprob) ?? .null)
        offsets.append(.integer(offset))
        offset += name.unicodeScalars.count
        guard let logprob else { return topLogprobs.append(.null) }
        var likeliest = JSONObject()
        // Two tokens may have the same text: the likelier one comes first and stays. The token itself is always there.
        for candidate in top + [TokenLogprob(token: token, logprob: logprob)] {
            let key = text.name(candidate.token)
            guard likeliest[key] == nil else { continue }
            likeliest.members.append(JSONObject.Member(key: key, value: TokenText.logprob(candidate.logprob)))
        }
        topLogprobs.append(.object(likeliest))
    }

    /// A prompt's tokens; the first score is the second token's.
    mutating func append(prompt tokens: [Int32], _ scores: [TokenScore]) {
        if let first = tokens.first { append(first, nil, top: []) }
        for (token, score) in zip(tokens.dropFirst(), scores) { append(token, score.logprob, top: score.topLogprobs) }
    }

    mutating func append(_ piece: GenerationPiece) { append(piece.tokens, piece.logprobs, piece.topLogprobs) }
    mutating func append(_ answer: GeneratedAnswer) { append(answer.tokens, answer.logprobs, answer.topLogprobs) }

    private mutating func append(_ tokens: [Int32], _ logprobs: [Float], _ top: [[TokenLogprob]]) {
        for (index, token) in tokens.enumerated() {
            append(token, logprobs[index], top: top.isEmpty ? [] : top[index])
        }
    }

    var json: JSONValue {
        [
            "tokens": .array(tokens), "token_logprobs": .array(tokenLogprobs), "top_logprobs": .array(topLogprobs),
            "text_offset": .array(offsets),
        ]
    }
}

extension TokenText {
    /// The `logprobs` of `/v1/chat/completions`.
    func chatLogprobs(_ piece: GenerationPiece) -> [JSONValue] {
        piece.tokens.enumerated().map { index, token in
            [
                "token": .string(name(token)), "logprob": Self.logprob(piece.logprobs[index]), "bytes": bytes(token),
                "top_logprobs": .array(
                    (piece.topLogprobs.isEmpty ? [] : piece.topLogprobs[index]).map { candidate in
                        [
                            "token": .string(name(candidate.token)), "logprob": Self.logprob(candidate.logprob),
                            "bytes": bytes(candidate.token),
                        ]
                    }),
            ]
        }
    }

    /// vLLM's `prompt_logprobs`: null for the first token, then tokens by id with their logprobs and ranks.
    func promptLogprobs(_ tokens: [Int32], _ scores: [TokenScore]) -> JSONValue {
        .array(
            [.null]
                + zip(tokens.dropFirst(), scores).map { token, score in
                    var entries = JSONObject()
                    for (rank, candidate) in score.topLogprobs.enumerated() {
                        entries.members.append(entry(candidate.token, candidate.logprob, rank: rank + 1))
                    }
                    if entries["\(token)"] == nil { entries.members.append(entry(token, score.logprob, rank: nil)) }
                    return .object(entries)
                })
    }

    /// - Parameter rank: nil where it isn't known.
    private func entry(_ token: Int32, _ logprob: Float, rank: Int?) -> JSONObject.Member {
        JSONObject.Member(
            key: "\(token)",
            value: [
                "logprob": Self.logprob(logprob), "rank": rank.map { .integer($0) } ?? .null,
                "decoded_token": .string(tokenizer.decode([token], includingSpecials: true)),
            ])
    }
}

/// Tokens of a request's prompts and answers.
struct Usage {
    private(set) var promptTokens = 0
    private(set) var cachedTokens = 0
    private(set) var completionTokens = 0

    init(promptTokens: Int = 0) { self.promptTokens = promptTokens }

    /// Counts some tokens of a sample. What the cache held of a prompt is its first sample's to tell.
    mutating func add(_ tokens: Int, _ summary: GenerationSummary?, sample: Int) {
        completionTokens += tokens
        if sample == 0 { cachedTokens += summary?.cachedTokens ?? 0 }
    }

    var json: JSONValue {
        [
            "prompt_tokens": .integer(promptTokens), "total_tokens": .integer(promptTokens + completionTokens),
            "completion_tokens": .integer(completionTokens),
            "prompt_tokens_details": ["cached_tokens": .integer(cachedTokens)],
        ]
    }
}

extension GenerationSummary.StopReason {
    /// vLLM's `stop_reason`.
    var json: JSONValue {
        switch self {
        case .string(let text): .string(text)
        case .token(let id): .integer(Int(id))
        }
    }
}
