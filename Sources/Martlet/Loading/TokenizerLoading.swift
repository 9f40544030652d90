// SPDX-License-Identifier: Apache-2.0

package import MartletCheckpoints
package import MartletText

extension Tokenizer {
    /// The tokenizer that a GGUF file carries.
    package init(of file: GGUFFile) throws {
        let header = file.contents
        let prefix = "tokenizer.ggml"
        let model = try header.required(header.name("\(prefix).model"), "\(prefix).model")
        guard model == "gpt2" else {
            throw CheckpointError(
                .unsupportedModel, "tokenizers of kind \(model) are not supported; byte-level BPE (gpt2) is")
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
        if try header.bool("\(prefix).add_eos_token") == true {
            throw CheckpointError(
                .unsupportedModel, "tokenizers that end every text with a token (add_eos_token) are not supported")
        }
        let vocabulary = try Vocabulary(
            spellings: header.required(file.strings("\(prefix).tokens"), "\(prefix).tokens"),
            kinds: file.integers("\(prefix).token_type") ?? [])
        let merges = try header.required(file.strings("\(prefix).merges"), "\(prefix).merges")
        try self.init(
            vocabulary: vocabulary, merges: merges,
            preTokenizer: PreTokenizer(named: header.name("\(prefix).pre") ?? "gpt-2"),
            bosToken: token("bos_token_id"), eosToken: token("eos_token_id"),
            endTokens: endTokens.filter(vocabulary.contains), addsBOS: header.bool("\(prefix).add_bos_token"))
    }
}
