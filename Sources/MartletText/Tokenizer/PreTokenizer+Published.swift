// SPDX-License-Identifier: Apache-2.0

/// Pre-tokenizers as tokenizer.json files spell them. A regular expression is known or isn't: none is run.
extension PreTokenizer {
    /// - Parameters:
    ///   - steps: what cuts the text, one after the other: regular expressions, or names as below.
    ///   - takesWholeWords: whether a word that is a token is taken as it stands.
    init(steps: [String], takesWholeWords: Bool) throws(TokenizerError) {
        guard let name = Self.published[steps] else {
            let text = PromptText(steps.joined(separator: " | ")).abbreviated
            throw TokenizerError(
                .unknownPreTokenizer,
                "the tokenizer cuts text in a way that is not supported (\(text)); take the model as a GGUF file")
        }
        self = try PreTokenizer(named: name).takingWholeWords(takesWholeWords)
    }

    /// GPT-2's own expression, which `ByteLevel` has built in.
    static let gpt2Step = "ByteLevel"
    /// Each digit by itself.
    static let digitStep = "Digits"

    private static let contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
    private static let spelledContractions = "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
    private static let gaps = "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
    private static let punctuation = " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*"
    private static let word = "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+"

    /// Words that end where capitals begin.
    private static func casedWords(_ suffix: String) -> String {
        let (upper, lower) = ("[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]", "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]")
        let first = "[^\\r\\n\\p{L}\\p{N}]?"
        return "\(first)\(upper)*\(lower)+\(suffix)|\(first)\(upper)+\(lower)*\(suffix)"
    }

    /// By what a file says the name that GGUF has for the same.
    private static let published: [[String]: String] = {
        var table: [[String]: String] = [
            [gpt2Step]: "gpt-2",
            [digitStep, gpt2Step]: "smollm",
            [
                "'(?:[sdmt]|ll|ve|re)| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
            ]: "gpt-2",
            [" ?[^(\\s|.,!?…。，、।۔،)]+"]: "bloom",
            ["\(casedWords(contractions + "?"))|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\(gaps)"]: "gpt-4o",
            ["\(casedWords(""))|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\(gaps)"]: "tekken",
            [
                "\(contractions)|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|\(gaps)"
            ]: "qwen35",
            [
                "\\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+",
                "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
                    + "| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+",
            ]: "deepseek-v3",
        ]
        for contractions in [contractions, spelledContractions] {
            table[["\(contractions)|\(word)|\\p{N}{1,3}|\(punctuation)|\(gaps)"]] = "dbrx"
            for digit in ["\\p{N}", "\\p{N}{1}"] {
                table[["\(contractions)|\(word)|\(digit)|\(punctuation)|\(gaps)"]] = "qwen2"
                table[["\(contractions)|\(word)|\(digit)| ?[^\\s\\p{L}\\p{N}\\r\\n]+|\(gaps)"]] = "seed-coder"
            }
        }
        return table
    }()
}
