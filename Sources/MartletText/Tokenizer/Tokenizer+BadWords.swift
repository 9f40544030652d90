// SPDX-License-Identifier: Apache-2.0

extension Tokenizer {
    /// The token sequences that spell words which an answer must not hold, as vLLM takes `bad_words`: each as it stands,
    /// and as it stands behind a space where that differs in its first token alone. Blank words have none.
    ///
    /// Another division of the same letters into tokens is another spelling, and not among them.
    package func badWordTokens(_ words: [String]) -> [[Int32]] {
        words.flatMap { word -> [[Int32]] in
            let trimmed = String(word.drop(while: \.isWhitespace))
            guard !trimmed.isEmpty else { return [] }
            let (plain, spaced) = (encode(trimmed), encode(" " + trimmed))
            return spaced.count == plain.count && spaced.first != plain.first ? [plain, spaced] : [plain]
        }
    }
}
