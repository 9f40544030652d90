// SPDX-License-Identifier: Apache-2.0

/// Tokens that end an answer, known by their text: many files name one of several.
enum EndTokens {
    private static let texts: Set<String> = [
        "<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|end|>", "<|end_of_text|>", "<|endoftext|>", "<end_of_turn>",
        "<turn|>", "<end_of_utterance>", "<EOT>", "< EOT >", "_<EOT>", "[EOT]", "[EOS]", "<|return|>", "<|call|>",
        "<|flush|>", "<|calls|>",
    ]

    /// Those that a vocabulary has among its special tokens.
    static func known(in vocabulary: Vocabulary) -> Set<Int32> {
        var found: [String: Int32] = [:]
        for (id, kind) in vocabulary.kinds.enumerated() where kind == .control || kind == .userDefined {
            guard vocabulary.bytes[id].count <= 32 else { continue }
            let text = String(decoding: vocabulary.bytes[id], as: UTF8.self)
            if texts.contains(text) { found[text] = Int32(id) }
        }
        // Harmony's <|end|> ends a message, behind which the answer goes on with another one.
        if found["<|return|>"] != nil, found["<|call|>"] != nil { found["<|end|>"] = nil }
        return Set(found.values)
    }
}
