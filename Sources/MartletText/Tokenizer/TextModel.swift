// SPDX-License-Identifier: Apache-2.0

/// How the text between special tokens becomes tokens.
package enum TextModel: Sendable {
    /// GPT-2's BPE: words, then bytes that merge.
    case byteLevel(PreTokenizer, BytePairMerges)
    /// SentencePiece's BPE: characters that join to the token of the best score; see `ScoredPairs`.
    case scored(ScoredPairs)
    /// BPE over characters that merge by rules; see `CharacterPairs`.
    case characters(CharacterPairs)
    /// SentencePiece's Unigram: the likeliest cut; see `Unigram`.
    case unigram(Unigram)
    /// BERT's: words, then the longest beginnings.
    case wordPiece(WordPiece)

    /// Whether a text begins with BOS where the file doesn't say.
    var addsBOSByDefault: Bool {
        switch self {
        case .byteLevel(let preTokenizer, _): preTokenizer.addsBOSByDefault
        case .scored, .characters, .wordPiece: true
        case .unigram: false
        }
    }

    /// Appends the tokens of a text.
    ///
    /// - Parameters:
    ///   - isFirst: whether nothing, or a special token, stands before it.
    ///   - isBeginning: whether nothing stands before it.
    ///   - isOver: asked now and then with the bytes that were read since; true gives up.
    /// - Returns: false where that was given up.
    func encode(
        _ text: ArraySlice<UInt8>, isFirst: Bool, isBeginning: Bool, _ vocabulary: Vocabulary,
        into tokens: inout [Int32], unless isOver: (Int) -> Bool
    ) -> Bool {
        switch self {
        case .byteLevel(let preTokenizer, let merges):
            var hasStopped = false
            let classified = ClassifiedText(text)
            preTokenizer.forEachWord(in: classified) { range in
                hasStopped = hasStopped || isOver(range.count)
                guard !hasStopped else { return }
                let word = classified.bytes[range]
                if preTokenizer.takesWholeWords, let token = vocabulary.id(of: word) {
                    tokens.append(token)
                } else {
                    // A byte that no token stands for is left out, as llama.cpp leaves it out.
                    merges.merge(word.map { vocabulary.byteTokens[Int($0)] }) { token, _ in
                        if token >= 0 { tokens.append(token) }
                    }
                }
            }
            return !hasStopped
        case .scored(let pairs):
            return pairs.encode(text, isFirst: isFirst, vocabulary, into: &tokens, unless: isOver)
        case .characters(let pairs):
            return pairs.encode(text, isBeginning: isBeginning, vocabulary, into: &tokens, unless: isOver)
        case .unigram(let model):
            return model.encode(text, vocabulary, into: &tokens, unless: isOver)
        case .wordPiece(let model):
            return model.encode(text, vocabulary, into: &tokens, unless: isOver)
        }
    }
}

extension Vocabulary {
    /// Appends the tokens of a character's bytes; the unknown token where there are none.
    func appendBytes(_ character: ArraySlice<UInt8>, to tokens: inout [Int32]) {
        let bytes = character.map { byteTokens[Int($0)] }
        if bytes.allSatisfy({ $0 >= 0 }) {
            tokens += bytes
        } else if let unknownToken {
            tokens.append(unknownToken)
        }
    }
}
