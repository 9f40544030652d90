// SPDX-License-Identifier: Apache-2.0

import Foundation

/// Text to token ids and back, as a model's own tokenizer does it.
public struct Tokenizer: Sendable {
    package let vocabulary: Vocabulary
    /// How many tokens there are; their ids are below it.
    public var vocabularySize: Int { vocabulary.count }
    /// What begins a text; nil where the model has no such token.
    public let bosToken: Int32?
    /// What ends one.
    public let eosToken: Int32?
    /// Tokens that end an answer: EOS, and the end-of-turn tokens that chat models use instead.
    public private(set) var endTokens: Set<Int32>
    /// Whether a text begins with BOS.
    public let addsBOS: Bool
    /// Whether each text ends with EOS.
    private let addsEOS: Bool
    private let model: TextModel
    /// Whether texts are composed (Unicode's NFC) before they are cut.
    private let composes: Bool
    private let specialTokens: [SpecialToken]
    private var specials: SpecialTokens

    /// A parameter for each thing that a file says of its tokenizer.
    ///
    /// - Parameters:
    ///   - endTokens: tokens that end an answer beside EOS and those that are known by their text.
    ///   - addsBOS: whether each text begins with BOS; nil where the file doesn't say.
    ///   - addsEOS: whether each ends with EOS, as those of models that make embeddings do.
    ///   - composes: whether texts are composed (Unicode's NFC) before they are cut.
    ///   - strippingRight: special tokens behind which whitespace is left out.
    ///   - specialTokens: what is found in a text before it is cut; nil: what the vocabulary's kinds of tokens tell.
    package init(
        vocabulary: Vocabulary, model: TextModel, bosToken: Int32?, eosToken: Int32?, endTokens: Set<Int32> = [],
        addsBOS: Bool?, addsEOS: Bool = false, composes: Bool = false, strippingRight: Set<Int32> = [],
        specialTokens: [SpecialToken]? = nil
    ) throws(TokenizerError) {
        for token in endTokens.union([bosToken, eosToken].compactMap { $0 }) where !vocabulary.contains(token) {
            throw TokenizerError(.invalidVocabulary, "special token \(token) is not in the vocabulary")
        }
        self.vocabulary = vocabulary
        self.model = model
        self.bosToken = bosToken
        self.eosToken = eosToken
        self.addsBOS = (addsBOS ?? model.addsBOSByDefault) && bosToken != nil
        self.addsEOS = addsEOS && eosToken != nil
        self.endTokens = endTokens.union(eosToken.map { [$0] } ?? []).union(EndTokens.known(in: vocabulary))
        // Some files call even these tokens user-defined; text must not become those.
        self.composes = composes
        self.specialTokens = specialTokens ?? SpecialToken.all(of: vocabulary, strippingRight: strippingRight)
        specials = SpecialTokens(self.specialTokens, guarded: self.endTokens.union(bosToken.map { [$0] } ?? []))
    }

    /// The same tokenizer with more tokens that end an answer. Ids outside of the vocabulary mean none.
    public func addingEndTokens(_ tokens: Set<Int32>) -> Tokenizer {
        var tokenizer = self
        tokenizer.endTokens.formUnion(tokens.filter(vocabulary.contains))
        tokenizer.specials = SpecialTokens(
            specialTokens, guarded: tokenizer.endTokens.union(bosToken.map { [$0] } ?? []))
        return tokenizer
    }

    /// - Parameters:
    ///   - parsingSpecials: whether `<|im_end|>` in the text becomes that token. Never for a message from a user.
    ///     User-defined tokens are found in either case.
    ///   - addingBOS: whether BOS is put before it, where the model wants one at all.
    /// - Complexity: O(n log n) in the text's bytes.
    public func encode(_ text: String, parsingSpecials: Bool = false, addingBOS: Bool = false) -> [Int32] {
        encode(PromptText(text, parsingSpecials: parsingSpecials), addingBOS: addingBOS)
    }

    /// The same of a text that knows which of its bytes a user wrote.
    public func encode(_ text: PromptText, addingBOS: Bool = false) -> [Int32] {
        encode(text, addingBOS: addingBOS) { _ in false } ?? []
    }

    /// The same of a text that knows which of its bytes a user wrote, given up once the deadline has passed: hostile
    /// texts take longest.
    package func encode(
        _ text: PromptText, addingBOS: Bool = false, until deadline: ContinuousClock.Instant?
    ) throws(TokenizerError) -> [Int32] {
        var unwatched = 0
        let tokens = encode(text, addingBOS: addingBOS) { bytes in
            guard let deadline else { return false }
            unwatched += bytes
            guard unwatched >= 1024 else { return false }
            unwatched = 0
            return ContinuousClock.now >= deadline
        }
        guard let tokens else { throw TokenizerError(.timedOut, "the text takes too long to tokenize") }
        return tokens
    }

    /// - Parameter isOver: asked now and then, with bytes that were read since; true gives the text up, and the result
    ///   is nil.
    private func encode(_ text: PromptText, addingBOS: Bool, unless isOver: (Int) -> Bool) -> [Int32]? {
        guard let pieces = specials.split(text, unless: isOver) else { return nil }
        var tokens: [Int32] = []
        if addingBOS, addsBOS, let bosToken { tokens.append(bosToken) }
        var isFirst = true
        for piece in pieces {
            switch piece {
            case .special(let id):
                tokens.append(id)
                isFirst = true
            case .text(let range):
                let bytes = composes ? Self.composed(text.bytes[range]) : text.bytes[range]
                let isDone = model.encode(
                    bytes, isFirst: isFirst, isBeginning: range.lowerBound == 0, vocabulary, into: &tokens,
                    unless: isOver)
                guard isDone else { return nil }
                isFirst = false
            }
        }
        if addingBOS, addsEOS, let eosToken { tokens.append(eosToken) }
        return tokens
    }

    /// The text with each letter and its marks composed.
    private static func composed(_ bytes: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        guard bytes.contains(where: { $0 >= 0x80 }) else { return bytes }
        return Array(String(decoding: bytes, as: UTF8.self).precomposedStringWithCanonicalMapping.utf8)[...]
    }

    /// The special token that a text spells, all of it.
    public func specialToken(spelledBy text: String) -> Int32? { specials.token(of: Array(text.utf8)) }

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
