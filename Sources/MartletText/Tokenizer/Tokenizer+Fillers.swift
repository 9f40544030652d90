// SPDX-License-Identifier: Apache-2.0

extension Tokenizer {
    /// A tokenizer for a model that has none: a token for each byte, as far as the vocabulary goes, and behind them
    /// tokens that no text becomes.
    ///
    /// - Precondition: `count` is positive.
    package init(bytesAndFillersUpTo count: Int) throws(TokenizerError) {
        var spellings = (UInt8.min...UInt8.max).prefix(count).map { Array(ByteAlphabet.spelling(of: $0).utf8) }
        for filler in spellings.count..<max(count, spellings.count) { spellings.append(Array("<\(filler)>".utf8)) }
        try self.init(
            vocabulary: Vocabulary(spellings: spellings, kinds: []), merges: [], preTokenizer: .gpt2, bosToken: nil,
            eosToken: nil, addsBOS: false)
    }
}
