// SPDX-License-Identifier: Apache-2.0

extension Tokenizer {
    /// Byte-level BPE of its parts.
    ///
    /// - Parameter merges: UTF-8 of `left right`, by rank.
    package init(
        vocabulary: Vocabulary, merges rules: [[UInt8]], preTokenizer: PreTokenizer, bosToken: Int32?,
        eosToken: Int32?, addsBOS: Bool?
    ) throws(TokenizerError) {
        let merges = try BytePairMerges(rules: rules, vocabulary: vocabulary)
        try self.init(
            vocabulary: vocabulary, model: .byteLevel(preTokenizer, merges), bosToken: bosToken, eosToken: eosToken,
            addsBOS: addsBOS)
    }
}
