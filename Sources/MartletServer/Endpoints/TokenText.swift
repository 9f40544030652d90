// SPDX-License-Identifier: Apache-2.0

import Martlet
import MartletCompute
import MartletJSON
import MartletText

/// Names tokens in logprobs: by their text, or by their ids.
struct TokenText: Sendable {
    let tokenizer: Tokenizer
    let namesByID: Bool

    func name(_ token: Int32) -> String {
        namesByID ? "token_id:\(token)" : tokenizer.decode([token], includingSpecials: true)
    }

    /// The same in a list whose names must tell tokens apart: a token that is part of a character is named by its bytes,
    /// as OpenAI names it.
    func distinctName(_ token: Int32) -> String {
        let bytes = tokenizer.bytes(of: token, includingSpecials: true)
        guard !namesByID, String(validating: bytes, as: UTF8.self) == nil else { return name(token) }
        return "bytes:" + bytes.map { "\\x" + ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }

    /// Characters that a token adds to a text: those that begin in it.
    ///
    /// - Parameter includingSpecials: whether the text shows control tokens.
    func length(of token: Int32, includingSpecials: Bool) -> Int {
        tokenizer.bytes(of: token, includingSpecials: includingSpecials).count { $0 & 0xc0 != 0x80 }
    }

    /// All of its digits, so that clients who compute with doubles have the very number; what vLLM writes for a
    /// probability of zero, which JSON has no logarithm for.
    static func logprob(_ value: Float) -> JSONValue { .number(value.isFinite ? Double(value) : -9999) }

    func bytes(_ token: Int32) -> JSONValue {
        .array(tokenizer.bytes(of: token, includingSpecials: true).map { .integer(Int($0)) })
    }
}

/// The `logprobs` of `/v1/completions`, as they grow.
struct CompletionLogprobs: Sendable {
    private struct Entry: Sendable {
        let token: Int32
        /// nil for a prompt's first token, which nothing predicts.
        let logprob: Float?
        let top: [TokenLogprob]
        /// Where it begins in the text.
        let offset: Int
    }

    private let text: TokenText
    private var entries: [Entry] = []
    /// Characters before the next token.
    private(set) var nextOffset: Int

    init(_ text: TokenText, offset: Int = 0) {
        self.text = text
        nextOffset = offset
    }

    /// - Parameter length: characters that the token adds to the text.
    private mutating func append(_ token: Int32, _ logprob: Float?, top: [TokenLogprob], length: Int) {
        entries.append(Entry(token: token, logprob: logprob, top: top, offset: nextOffset))
        nextOffset += length
    }

    /// A prompt's tokens; the first score is the second token's.
    ///
    /// - Parameter hidesFirst: whether the first token was put before the text and isn't shown.
    mutating func append(prompt tokens: [Int32], _ scores: [TokenScore], hidesFirst: Bool) {
        func length(_ token: Int32) -> Int { text.length(of: token, includingSpecials: true) }
        if let first = tokens.first { append(first, nil, top: [], length: hidesFirst ? 0 : length(first)) }
        for (token, score) in zip(tokens.dropFirst(), scores) {
            append(token, score.logprob, top: score.topLogprobs, length: length(token))
        }
    }

    mutating func append(_ piece: GenerationPiece) { append(piece.tokens, piece.logprobs, piece.topLogprobs) }
    mutating func append(_ answer: GeneratedAnswer) { append(answer.tokens, answer.logprobs, answer.topLogprobs) }

    private mutating func append(_ tokens: [Int32], _ logprobs: [Float], _ top: [[TokenLogprob]]) {
        for (index, token) in tokens.enumerated() {
            append(
                token, logprobs[index], top: top.isEmpty ? [] : top[index],
                length: text.length(of: token, includingSpecials: false))
        }
    }

    var json: JSONValue {
        let (entries, text) = (entries, text)
        func list(_ value: @escaping @Sendable (Entry) -> JSONValue) -> JSONValue {
            .elements(count: entries.count) { value(entries[$0]) }
        }
        return [
            "tokens": list { .string(text.distinctName($0.token)) },
            "token_logprobs": list { $0.logprob.map(TokenText.logprob) ?? .null },
            "top_logprobs": list { Self.likeliest($0, text) }, "text_offset": list { .integer($0.offset) },
        ]
    }

    private static func likeliest(_ entry: Entry, _ text: TokenText) -> JSONValue {
        guard let logprob = entry.logprob else { return .null }
        var likeliest = JSONObject()
        var seen = Set<Int32>()
        // The token itself is always there.
        for candidate in entry.top + [TokenLogprob(token: entry.token, logprob: logprob)]
        where seen.insert(candidate.token).inserted {
            var key = text.distinctName(candidate.token)
            // Two tokens may have the same text.
            if likeliest[key] != nil { key = "token_id:\(candidate.token)" }
            likeliest.members.append(JSONObject.Member(key: key, value: TokenText.logprob(candidate.logprob)))
        }
        return .object(likeliest)
    }
}

extension TokenText {
    /// The `logprobs` of `/v1/chat/completions`.
    func chatLogprobs(_ piece: GenerationPiece) -> JSONValue {
        chatLogprobs(piece.tokens, piece.logprobs, piece.topLogprobs)
    }

    func chatLogprobs(of answer: GeneratedAnswer) -> JSONValue {
        chatLogprobs(answer.tokens, answer.logprobs, answer.topLogprobs)
    }

    private func chatLogprobs(_ tokens: [Int32], _ logprobs: [Float], _ top: [[TokenLogprob]]) -> JSONValue {
        .elements(count: tokens.count) { index in
            [
                "token": .string(name(tokens[index])), "logprob": Self.logprob(logprobs[index]),
                "bytes": bytes(tokens[index]),
                "top_logprobs": .array(
                    (top.isEmpty ? [] : top[index]).map { candidate in
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
        .elements(count: min(tokens.count, scores.count + 1)) { index in
            guard index > 0 else { return .null }
            let (token, score) = (tokens[index], scores[index - 1])
            var entries = JSONObject()
            for (rank, candidate) in score.topLogprobs.enumerated() {
                entries.members.append(entry(candidate.token, candidate.logprob, rank: rank + 1))
            }
            if entries["\(token)"] == nil { entries.members.append(entry(token, score.logprob, rank: nil)) }
            return .object(entries)
        }
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
