// SPDX-License-Identifier: Apache-2.0

package import MartletCheckpoints
package import MartletText

extension Tokenizer {
    /// The tokenizer that a GGUF file carries.
    package init(of file: GGUFFile) throws {
        let header = file.contents
        let prefix = "tokenizer.ggml"
        let kind = try header.required(header.name("\(prefix).model"), "\(prefix).model")
        guard let spelling = Self.spellings[kind] else {
            throw CheckpointError(
                .unsupportedModel,
                "tokenizers of kind \(kind) are not supported; \(Self.spellings.keys.sorted().joined(separator: ", ")) are"
            )
        }
        func token(_ name: String) throws -> Int32? {
            guard let id = try header.count("\(prefix).\(name)") else { return nil }
            guard let token = Int32(exactly: id) else {
                throw CheckpointError(.invalidMetadata, "\(prefix).\(name) is out of range")
            }
            return token
        }
        // Ends of turns and of messages end an answer, too. Some files list several ends.
        // Ids outside of the vocabulary mean none.
        var endTokens = Set<Int32>()
        for name in ["eot_token_id", "eom_token_id"] {
            if let id = try header.count("\(prefix).\(name)"), let token = Int32(exactly: id) {
                endTokens.insert(token)
            }
        }
        endTokens.formUnion(try file.integers("\(prefix).eos_token_ids") ?? [])
        let vocabulary = try Vocabulary(
            spellings: header.required(file.strings("\(prefix).tokens"), "\(prefix).tokens"),
            kinds: file.integers("\(prefix).token_type") ?? [], spelling, unknownToken: token("unknown_token_id"))
        func merges() throws -> BytePairMerges {
            let rules = try header.required(file.strings("\(prefix).merges"), "\(prefix).merges")
            return try BytePairMerges(rules: rules, vocabulary: vocabulary, spelling)
        }
        let model: TextModel
        switch kind {
        case "gpt2": model = .byteLevel(try PreTokenizer(named: header.name("\(prefix).pre")), try merges())
        case "gemma4": model = .characters(CharacterPairs(try merges(), cutsLines: true))
        case "t5":
            let map = try file.bytes("\(prefix).precompiled_charsmap") ?? []
            model = .unigram(
                try Unigram(
                    scores: header.required(file.floats("\(prefix).scores"), "\(prefix).scores"),
                    vocabulary: vocabulary,
                    characters: map.isEmpty ? nil : CharacterMap(map),
                    addsSpace: header.bool("\(prefix).add_space_prefix") ?? true,
                    removesSpaces: header.bool("\(prefix).remove_extra_whitespaces") ?? true))
        case "bert": model = .wordPiece(WordPiece(normalizes: true))
        default:
            let scores = try header.required(file.floats("\(prefix).scores"), "\(prefix).scores")
            guard scores.count == vocabulary.count else {
                throw CheckpointError(
                    .invalidMetadata, "\(prefix).scores holds \(scores.count) scores for \(vocabulary.count) tokens")
            }
            let addsSpace = try header.bool("\(prefix).add_space_prefix") ?? true
            model = .scored(try ScoredPairs(scores: scores, addsSpace: addsSpace))
        }
        // Phi 3's own tokenizer leaves out whitespace behind the tokens of its turns. GGUF files don't say so.
        var strippingRight = Set<Int32>()
        if kind == "llama", try header.name("general.architecture") == "phi3" {
            for (id, kind) in vocabulary.kinds.enumerated() where kind == .control || kind == .userDefined {
                let text = String(decoding: vocabulary.bytes[id].prefix(64), as: UTF8.self)
                if !["<s>", "<unk>", "<|endoftext|>"].contains(text) { strippingRight.insert(Int32(id)) }
            }
        }
        let isBERT = kind == "bert"
        try self.init(
            vocabulary: vocabulary, model: model,
            bosToken: token("bos_token_id") ?? (isBERT ? token("cls_token_id") : nil),
            eosToken: isBERT ? token("seperator_token_id") : token("eos_token_id"),
            endTokens: endTokens.filter(vocabulary.contains), addsBOS: header.bool("\(prefix).add_bos_token"),
            addsEOS: header.bool("\(prefix).add_eos_token") ?? isBERT, strippingRight: strippingRight)
    }

    /// How vocabularies write their tokens, by what `tokenizer.ggml.model` says.
    private static let spellings: [String: TokenSpelling] = [
        "gpt2": .byteLevel, "llama": .sentencePiece, "gemma4": .sentencePiece, "bert": .sentencePiece,
        "t5": .sentencePiece,
    ]
}
