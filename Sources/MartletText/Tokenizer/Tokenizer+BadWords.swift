// SPDX-License-Identifier: Apache-2.0

extension Tokenizer {
    /// The token sequences that spell words which an answer must not hold: each as it stands, and as it stands behind a
    /// space, as vLLM takes `bad_words`.
    ///
    /// Another division of the same letters into tokens is another spelling, and not among them.
    public func badWordTokens(_ words: [String]) -> [[Int32]] {
        var result: [[Int32]] = []
        for word in words {
            let trimmed = String(word.drop { $0 == " " })
            for spelling in [trimmed, " " + trimmed] {
                let tokens = encode(spelling)
                if !tokens.isEmpty, !result.contains(tokens) { result.append(tokens) }
            }
        }
        return result
    }
}
