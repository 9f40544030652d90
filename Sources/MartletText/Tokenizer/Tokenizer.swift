// SPDX-License-Identifier: Apache-2.0

/// Byte-level BPE: text to token ids and back.
public struct Tokenizer: Sendable {
    public let vocabulary: Vocabulary
    public let preTokenizer: PreTokenizer
    public let bosToken: Int32?
    public let eosToken: Int32?
    /// Tokens that end an answer: EOS, and the end-of-turn tokens that chat models use instead.
    public let endTokens: Set<Int32>
    /// Whether a text begins with BOS.
    public let addsBOS: Bool
    private let merges: BytePairMerges
    private let allSpecials: SpecialTokens
    private let userDefined: SpecialTokens

    /// - Parameters:
    ///   - merges: UTF-8 of `left right`, by rank.
    ///   - addsBOS: nil where the file doesn't say.
    public init(
        vocabulary: Vocabulary, merges rules: [[UInt8]], preTokenizer: PreTokenizer, bosToken: Int32?,
        eosToken: Int32?, addsBOS: Bool?
    ) throws(TokenizerError) {
        for token in [bosToken, eosToken].compactMap({ $0 }) where !vocabulary.contains(token) {
            throw TokenizerError(.invalidVocabulary, "special token \(token) is not in the vocabulary")
        }
        self.vocabulary = vocabulary
        self.preTokenizer = preTokenizer
        self.bosToken = bosToken
        self.eosToken = eosToken
        self.addsBOS = (addsBOS ?? preTokenizer.addsBOSByDefault) && bosToken != nil
        merges = try BytePairMerges(rules: rules, vocabulary: vocabulary)
        allSpecials = SpecialTokens(vocabulary, kinds: [.control, .userDefined, .unknown])
        let endings = ["<|im_end|>", "<|eot_id|>", "<|end_of_text|>", "<|endoftext|>", "<|eom_id|>"]
        var endTokens = Set(eosToken.map { [$0] } ?? [])
        for (id, kind) in vocabulary.kinds.enumerated() where kind == .control || kind == .userDefined {
            if endings.contains(String(decoding: vocabulary.bytes[id], as: UTF8.self)) { endTokens.insert(Int32(id)) }
        }
        self.endTokens = endTokens
        // Some files call even the tokens that end an answer user-defined; text must not become those.
        userDefined = SpecialTokens(vocabulary, kinds: [.userDefined], except: endTokens)
    }

    /// - Parameters:
    ///   - parsingSpecials: whether `<|im_end|>` in the text becomes that token. Never for text from a user.
    ///   - addingBOS: whether BOS is put before it, where the model wants one at all.
    /// - Complexity: O(n log n) in the text's bytes.
    public func encode(_ text: String, parsingSpecials: Bool = false, addingBOS: Bool = false) -> [Int32] {
        encode(text, parsingSpecials: parsingSpecials, addingBOS: addingBOS) { _ in false } ?? []
    }

    /// The same, given up once the deadline has passed: hostile texts take longest.
    public func encode(
        _ text: String, parsingSpecials: Bool = false, addingBOS: Bool = false,
        until deadline: ContinuousClock.Instant
    ) throws(TokenizerError) -> [Int32] {
        var unwatched = 0
        let tokens = encode(text, parsingSpecials: parsingSpecials, addingBOS: addingBOS) { bytes in
            unwatched += bytes
            guard unwatched >= 1024 else { return false }
            unwatched = 0
            return ContinuousClock.now >= deadline
        }
        guard let tokens else { throw TokenizerError(.timedOut, "the text takes too long to tokenize") }
        return tokens
    }

    /// - Parameter isOver: asked before each word, with its bytes; true gives the text up, and the result is nil.
    private func encode(
        _ text: String, parsingSpecials: Bool, addingBOS: Bool, unless isOver: (Int) -> Bool
    ) -> [Int32]? {
        var tokens: [Int32] = []
        if addingBOS, addsBOS, let bosToken { tokens.append(bosToken) }
        var hasStopped = false
        for piece in (parsingSpecials ? allSpecials : userDefined).split(text) where !hasStopped {
            switch piece {
            case .special(let id): tokens.append(id)
            case .text(let text):
                let classified = ClassifiedText(text)
                preTokenizer.forEachWord(in: classified) { range in
                    hasStopped = hasStopped || isOver(range.count)
                    if !hasStopped { encode(word: classified.bytes[range], into: &tokens) }
                }
            }
        }
        return hasStopped ? nil : tokens
    }

    /// Whether `encode` would find a special token in the text if it parsed them.
    public func spellsSpecialToken(_ text: String) -> Bool {
        allSpecials.split(text).contains { piece in
            if case .special = piece { true } else { false }
        }
    }

    private func encode(word: ArraySlice<UInt8>, into tokens: inout [Int32]) {
        if preTokenizer.takesWholeWords, let id = vocabulary.id(of: Array(word)) {
            tokens.append(id)
        } else {
            merges.tokenize(word, into: &tokens)
        }
    }

    /// The bytes a token stands for; none for ids outside the vocabulary, nor for control tokens unless asked for.
    public func bytes(of token: Int32, includingSpecials: Bool = false) -> [UInt8] {
        guard vocabulary.contains(token) else { return [] }
        let kind = vocabulary.kinds[Int(token)]
        return includingSpecials || (kind != .control && kind != .unknown) ? vocabulary.bytes[Int(token)] : []
    }

    /// The text of tokens; bytes that are no UTF-8 become U+FFFD.
    public func decode(_ tokens: some Sequence<Int32>, includingSpecials: Bool = false) -> String {
        String(decoding: tokens.flatMap { bytes(of: $0, includingSpecials: includingSpecials) }, as: UTF8.self)
    }
}
