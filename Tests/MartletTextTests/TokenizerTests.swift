// SPDX-License-Identifier: Apache-2.0

import MartletTestSupport
import MartletText
import Testing

@Suite struct TokenizerTests {
    private let tokenizer: Tokenizer

    init() throws {
        let parts = TinyModel.vocabulary
        let vocabulary = try Vocabulary(spellings: parts.tokens.map { Array($0.utf8) }, kinds: parts.types)
        tokenizer = try Tokenizer(
            vocabulary: vocabulary, merges: parts.merges.map { Array($0.utf8) }, preTokenizer: .gpt2, bosToken: nil,
            eosToken: Int32(vocabulary.count - 1), addsBOS: nil)
    }

    private func pieces(_ text: String, special: Bool = false) -> [String] {
        tokenizer.encode(text, parsingSpecials: special).map { tokenizer.decode([$0], includingSpecials: true) }
    }

    @Test func mergesByRankThenFromTheLeft() {
        #expect(pieces("the hello") == ["the", " ", "hello"])
        #expect(pieces("x the") == ["x", " the"])
        #expect(pieces("llll") == ["ll", "ll"])
        #expect(pieces("lll") == ["ll", "l"])
        #expect(pieces("     x") == ["    ", " ", "x"])
    }

    @Test func parsesSpecialsOnlyWhenAsked() {
        let text = "a<|im_end|>b<|im_end"
        #expect(pieces(text, special: true) == ["a", "<|im_end|>", "b", "<", "|", "i", "m", "_", "e", "n", "d"])
        #expect(pieces(text).joined() == text)
        #expect(!tokenizer.encode(text).contains(Int32(tokenizer.vocabulary.count - 1)))
    }

    /// The rule the heap implements, as written in the paper: the lowest-ranked pair, leftmost first, until none is.
    @Test func heapAgreesWithTheObviousLoop() throws {
        let parts = TinyModel.vocabulary
        let ranks = Dictionary(uniqueKeysWithValues: parts.merges.enumerated().map { ($1, $0) })
        var random = SeededGenerator(7)
        let letters = Array("thel o")
        for _ in 0..<500 {
            let word = String(
                (0..<Int.random(in: 1...24, using: &random)).map { _ in letters.randomElement(using: &random)! })
            var symbols = word.map { $0 == " " ? "Ġ" : String($0) }
            while let best = zip(symbols, symbols.dropFirst()).enumerated()
                .compactMap({ index, pair in ranks["\(pair.0) \(pair.1)"].map { (rank: $0, index: index) } })
                .min(by: { ($0.rank, $0.index) < ($1.rank, $1.index) })
            {
                symbols.replaceSubrange(
                    best.index...best.index + 1, with: [symbols[best.index] + symbols[best.index + 1]])
            }
            // GPT-2's pattern cuts words with spaces inside; the merges alone are looked at here.
            var tokens: [Int32] = []
            let merges = try BytePairMerges(
                rules: parts.merges.map { Array($0.utf8) }, vocabulary: tokenizer.vocabulary)
            merges.merge(word.utf8.map { tokenizer.vocabulary.id(of: [$0]) ?? -1 }) { token, _ in tokens.append(token) }
            let spelled = tokens.map { tokenizer.decode([$0]).replacing(" ", with: "Ġ") }
            #expect(spelled == symbols, "\(word)")
        }
    }

    /// A megabyte of one letter, of spaces and of marks: quadratic merging would take hours.
    @Test(.timeLimit(.minutes(1)), arguments: ["l", " ", "\u{301}", "😀"]) func hostileTextIsNotQuadratic(_ unit: String)
    {
        let text = String(repeating: unit, count: 1_000_000 / unit.utf8.count)
        let tokens = tokenizer.encode(text, parsingSpecials: true)
        #expect(tokenizer.decode(tokens).utf8.elementsEqual(text.utf8))
    }

    @Test func brokenVocabulariesAreRefused() {
        let tokens = ["a", "b", "ab"].map { Array($0.utf8) }
        func make(_ tokens: [[UInt8]], _ kinds: [Int32] = [], merges: [String] = [], eos: Int32? = nil) throws
            -> Tokenizer
        {
            try Tokenizer(
                vocabulary: Vocabulary(spellings: tokens, kinds: kinds), merges: merges.map { Array($0.utf8) },
                preTokenizer: .gpt2, bosToken: nil, eosToken: eos, addsBOS: nil)
        }
        #expect(throws: TokenizerError.self, "empty") { try make([]) }
        #expect(throws: TokenizerError.self, "invalid UTF-8") { try make([[0xff]]) }
        #expect(throws: TokenizerError.self, "kinds of another length") { try make(tokens, [1]) }
        #expect(throws: TokenizerError.self, "unknown kind") { try make(tokens, [1, 1, 9]) }
        #expect(throws: TokenizerError.self, "EOS outside") { try make(tokens, eos: 3) }
        #expect(throws: TokenizerError.self, "missing side") { try make(tokens, merges: ["a c"]) }
        #expect(throws: TokenizerError.self, "missing result") { try make(tokens, merges: ["b a"]) }
        #expect(throws: TokenizerError.self, "no separator") { try make(tokens, merges: ["ab"]) }
        #expect(throws: Never.self, "repeated rule") { try make(tokens, merges: ["a b", "a b"]) }
    }

    /// As Phi 3's turns are written.
    @Test func whitespaceBehindSomeTokensIsLeftOut() throws {
        let letters = (UInt8.min...UInt8.max).map { ByteSpelling.spelling(of: $0) }
        let vocabulary = try Vocabulary(
            spellings: (letters + ["<|a|>", "<|b|>"]).map { Array($0.utf8) },
            kinds: letters.map { _ in 1 } + [3, 3])
        let tokenizer = try Tokenizer(
            vocabulary: vocabulary, model: .byteLevel(.gpt2, BytePairMerges(rules: [], vocabulary: vocabulary)),
            bosToken: nil, eosToken: nil, addsBOS: nil, strippingRight: [256])
        let tokens = tokenizer.encode("<|a|> \n x<|b|> y<|a|>", parsingSpecials: true)
        #expect(tokens == [256, 120, 257, 32, 121, 256])
    }

    @Test func idsOutsideOfTheVocabularyHaveNoBytes() {
        #expect(tokenizer.decode([-1, .max, .min]) == "")
    }
}

@Suite struct DetokenizerTests {
    private func decodeInPieces(_ bytes: [UInt8], sizes: () -> Int) -> [String] {
        var detokenizer = Detokenizer()
        var pieces: [String] = []
        var index = 0
        while index < bytes.count {
            let end = min(bytes.count, index + sizes())
            pieces.append(detokenizer.append(bytes[index..<end]))
            index = end
        }
        return pieces + [detokenizer.finish()]
    }

    @Test func neverEmitsHalfACharacter() {
        let text = "aé日😀👨‍👩‍👧ß"
        for piece in decodeInPieces(Array(text.utf8), sizes: { 1 }) { #expect(!piece.contains("\u{fffd}")) }
        #expect(decodeInPieces(Array(text.utf8), sizes: { 1 }).joined() == text)
    }

    /// Valid, broken and random bytes: the pieces, joined, are the whole decoded at once.
    @Test func piecesJoinToTheWhole() {
        var random = SeededGenerator(3)
        let fragments: [[UInt8]] = [
            Array("aé日😀".utf8), [0xff], [0xc3], [0xe2, 0x82], [0xf0, 0x9f, 0x98], [0x80], [0xed, 0xa0, 0x80],
            [0xf4, 0x90],
            [0xc0, 0xaf], [0xe0, 0x80],
        ]
        for _ in 0..<5_000 {
            var bytes: [UInt8] = []
            for _ in 0..<Int.random(in: 0...6, using: &random) {
                bytes +=
                    Bool.random(using: &random)
                    ? fragments.randomElement(using: &random)!
                    : random.randomBytes(Int.random(in: 1...4, using: &random))
            }
            let pieces = decodeInPieces(bytes) { Int.random(in: 1...3, using: &random) }
            #expect(
                pieces.joined().unicodeScalars.elementsEqual(String(decoding: bytes, as: UTF8.self).unicodeScalars),
                "\(bytes)")
        }
    }
}
