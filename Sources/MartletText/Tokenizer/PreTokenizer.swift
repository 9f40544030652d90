// SPDX-License-Identifier: Apache-2.0

/// Cuts text into the words that BPE merges within.
///
/// Published pre-tokenizers are regular expressions, of which each cuts the pieces that the one before left. Here each is
/// a scanner; no regex engine runs, so time is linear whatever the text.
package struct PreTokenizer: Sendable, Equatable {
    private let passes: [PreTokenizerPass]
    /// Whether a word that is itself a token is taken as it stands, merges or not.
    let takesWholeWords: Bool
    /// Whether a text begins with the BOS token where the file doesn't say.
    let addsBOSByDefault: Bool

    private init(_ passes: PreTokenizerPass..., takesWholeWords: Bool = false, addsBOS: Bool = false) {
        self.init(passes, takesWholeWords: takesWholeWords, addsBOS: addsBOS)
    }

    private init(_ passes: [PreTokenizerPass], takesWholeWords: Bool, addsBOS: Bool) {
        self.passes = passes
        self.takesWholeWords = takesWholeWords
        addsBOSByDefault = addsBOS
    }

    package static let gpt2 = PreTokenizer(.gpt2)
    package static let smollm = PreTokenizer(.runs(of: .numbers, longest: 1), .gpt2)
    package static let llama3 = PreTokenizer(
        .words(WordPattern(digits: 3)), takesWholeWords: true, addsBOS: true)
    package static let qwen2 = PreTokenizer(.words(WordPattern(digits: 1)))

    /// By the name that GGUF's `tokenizer.ggml.pre` gives it.
    ///
    /// - Parameter name: nil where a file names none, as old ones do.
    package init(named name: String?) throws(TokenizerError) {
        guard let name else {
            self.init(
                .runs(of: .falconPunctuation, longest: .max), .gpt2, .runs(of: .numbers, longest: .max),
                .runs(of: .asciiDigits, longest: 3, shortest: 3))
            return
        }
        guard let known = Self.byName[name] else {
            throw TokenizerError(
                .unknownPreTokenizer,
                "pre-tokenizer \(PromptText(name).abbreviated) is not supported; "
                    + "\(Self.byName.keys.sorted().joined(separator: ", ")) are")
        }
        self = known
    }

    private static let byName: [String: PreTokenizer] = {
        var table: [String: PreTokenizer] = [:]
        func add(_ preTokenizer: PreTokenizer, _ names: String...) { for name in names { table[name] = preTokenizer } }
        add(gpt2, "gpt-2", "phi-2", "mpt", "olmo", "exaone4", "jais", "trillion", "granite-docling")
        add(smollm, "smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b", "mellum2")
        add(llama3, "llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2")
        let unlikeLlama3 = PreTokenizer(.words(WordPattern(digits: 3)))
        add(unlikeLlama3, "dbrx", "smaug-bpe", "glm4", "chatglm-bpe")
        add(
            qwen2, "qwen2", "deepseek-r1-qwen", "stablelm2", "hunyuan", "megrez", "grok-2", "solar-open", "kormo",
            "f2llmv2", "bailingmoe", "bailingmoe2", "llada-moe")
        var qwen35 = WordPattern(digits: 1)
        (qwen35.letters, qwen35.rest) = ([.letter, .mark], [.punctuation, .symbol, .other])
        add(PreTokenizer(.words(qwen35)), "qwen35")
        var seedCoder = WordPattern(digits: 1)
        seedCoder.suffix = .none
        add(PreTokenizer(.words(seedCoder)), "seed-coder")
        add(PreTokenizer(.lines, .words(WordPattern(digits: 1))), "laguna")
        var cased = WordPattern(digits: 3)
        (cased.isCased, cased.contractions, cased.suffix) = (true, .behindWords, .lineBreaksAndSlashes)
        add(PreTokenizer(.words(cased)), "gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2")
        (cased.digits, cased.contractions) = (1, .none)
        add(PreTokenizer(.words(cased), takesWholeWords: true, addsBOS: true), "tekken")
        add(
            PreTokenizer(
                .runs(of: .falconPunctuation, longest: .max), .gpt2, .runs(of: .asciiDigits, longest: 3, shortest: 3)),
            "falcon")
        add(PreTokenizer(.bloom), "bloom", "poro-chat", "gpt3-finnish")
        add(PreTokenizer(.bloom, .runs(of: .numbers, longest: 1)), "viking")
        add(
            PreTokenizer(
                .runs(of: .lineBreaks, longest: 1), .spaced(.casedLetters), .spaced(.deepSeekPunctuation),
                .spacesAtEnd, .runs(of: .ideographsAndHangul, longest: .max), .runs(of: .numbers, longest: .max)),
            "deepseek-llm")
        add(
            PreTokenizer(
                .runs(of: .lineBreaks, longest: 1), .spaced(.letters), .spaced(.punctuation),
                .runs(of: .ideographsAndHangul, longest: .max), .runs(of: .numbers, longest: 1)),
            "deepseek-coder")
        add(
            PreTokenizer(
                .runs(of: .numbers, longest: 3), .runs(of: .ideographsAndKana, longest: .max), .deepSeek3),
            "deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4")
        return table
    }()

    func takingWholeWords(_ takesWholeWords: Bool) -> PreTokenizer {
        PreTokenizer(passes, takesWholeWords: takesWholeWords, addsBOS: addsBOSByDefault)
    }

    /// Calls `body` with each word's range of `text.bytes`, in order; the words cover the text.
    package func forEachWord(in text: ClassifiedText, _ body: (Range<Int>) -> Void) {
        cut(text, 0..<text.count, from: 0) { body(text.offsets[$0.lowerBound]..<text.offsets[$0.upperBound]) }
    }

    private func cut(_ text: ClassifiedText, _ range: Range<Int>, from pass: Int, _ body: (Range<Int>) -> Void) {
        guard pass < passes.count else { return body(range) }
        var (index, gap) = (range.lowerBound, range.lowerBound)
        while index < range.upperBound {
            guard let end = passes[pass].match(text, at: index, limit: range.upperBound) else {
                index += 1
                continue
            }
            if gap < index { cut(text, gap..<index, from: pass + 1, body) }
            cut(text, index..<end, from: pass + 1, body)
            (index, gap) = (end, end)
        }
        if gap < range.upperBound { cut(text, gap..<range.upperBound, from: pass + 1, body) }
    }
}
