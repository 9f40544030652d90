// SPDX-License-Identifier: Apache-2.0

/// What a request may ask for at most. Checked once, before it is admitted.
public struct RequestLimits: Equatable, Sendable {
    /// Samples of one prompt.
    public var samples = 128
    /// Likeliest tokens reported with each token.
    public var logprobs = 20
    /// Reported logprobs of a prompt's tokens, all positions together.
    public var promptLogprobEntries = 1 << 20
    /// Stop strings of a request.
    public var stopStrings = 16
    /// Bytes of UTF-8 in one of them.
    public var stopStringBytes = 256
    /// Stop tokens of a request.
    public var stopTokens = 128
    /// Tokens whose logits a request may change.
    public var logitBiases = 1024
    /// Texts that a request may forbid.
    public var badWords = 256
    /// Tokens of one of them.
    public var badWordTokens = 64
    /// Requests that are served or wait to be.
    public var queuedRequests = 1024
    /// Tokens of their prompts, all together.
    public var queuedPromptTokens = 1 << 24
    /// UTF-8 bytes of a cache salt.
    public var cacheSaltBytes = 256
    /// A reader that leaves more bytes of an answer unread is behind.
    public var unreadBytes = 256 << 10
    /// Seconds that a reader that is behind may take nothing, before it is cut off; 0 cuts it off at once.
    public var unreadSeconds = 30.0
    /// Bytes kept for all readers that are behind. Where they don't suffice, readers are cut off.
    public var totalUnreadBytes = 512 << 20

    /// The defaults.
    public init() {}

    /// Entries of one sequence in a step's table of biases: its own, its bad words' last tokens, and the tokens that may
    /// not end it yet, those that a stop string spells among them.
    func biasesPerSequence(endTokens: Int) -> Int { logitBiases + badWords + stopTokens + stopStrings + endTokens }

    /// A limit's name among the engine's options, and the values that it may have: what is set aside for it must be
    /// possible to set aside. 0 forbids.
    typealias Row = (name: String, path: KeyPath<RequestLimits, Int> & Sendable, range: ClosedRange<Int>)

    static let table: [Row] = [
        ("samples", \.samples, 1...4096), ("logprobs", \.logprobs, 0...1024),
        ("prompt_logprob_entries", \.promptLogprobEntries, 0...1 << 28), ("stop_strings", \.stopStrings, 0...1024),
        ("stop_string_bytes", \.stopStringBytes, 1...1 << 16), ("stop_tokens", \.stopTokens, 0...1 << 16),
        ("logit_biases", \.logitBiases, 0...1 << 16), ("bad_words", \.badWords, 0...1 << 16),
        ("bad_word_tokens", \.badWordTokens, 1...1 << 12), ("queued_requests", \.queuedRequests, 1...1 << 20),
        ("queued_prompt_tokens", \.queuedPromptTokens, 1...1 << 32),
        ("cache_salt_bytes", \.cacheSaltBytes, 1...1 << 16),
        ("unread_bytes", \.unreadBytes, 1...1 << 30), ("total_unread_bytes", \.totalUnreadBytes, 0...1 << 40),
    ]

    /// The values that a limit may have.
    package static func range(of path: KeyPath<RequestLimits, Int>) -> ClosedRange<Int> {
        guard let row = table.first(where: { $0.path == path }) else { preconditionFailure("each limit has a row") }
        return row.range
    }
}
