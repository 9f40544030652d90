// SPDX-License-Identifier: Apache-2.0

package import MartletJSON

/// A `tokenizer.json`, as the package `tokenizers` writes them: what Martlet's own models compute of it. Any part that they
/// don't is refused by name.
package struct TokenizerFile {
    private let root: JSONObject
    /// Far above what any has.
    private static let largestVocabulary = 1 << 22

    package init(_ json: JSONValue) throws(TokenizerError) {
        guard case .object(let root) = json else { throw Self.invalid("it is not a JSON object") }
        self.root = root
    }

    private static func invalid(_ reason: String) -> TokenizerError {
        TokenizerError(.invalidVocabulary, "tokenizer.json can't be used: \(reason)")
    }

    private static func unsupported(_ part: String, _ value: JSONValue?) -> TokenizerError {
        let kind = value?["type"]?.text ?? value?.excerpt ?? "nothing"
        return TokenizerError(
            .unknownPreTokenizer,
            "tokenizer.json's \(part) \(PromptText(kind).abbreviated) is not supported; take the model as a GGUF file")
    }

    /// The tokenizer.
    ///
    /// - Parameters:
    ///   - vocabularySize: tokens that the model knows. Those beyond it are left out, and what the file lacks is unused.
    ///   - bosToken: the text of the token that begins a text, where the file itself adds none.
    ///   - eosToken: the text of the token that ends one.
    ///   - endTokens: tokens that end an answer beside it.
    package func tokenizer(
        vocabularySize: Int, bosToken: String?, eosToken: String?, endTokens: Set<Int32>
    ) throws(TokenizerError) -> Tokenizer {
        guard let model = root["model"], case .object = model else { throw Self.invalid("it has no model") }
        guard model["type"]?.text ?? "BPE" == "BPE" else { throw Self.unsupported("model", model) }
        let added = try addedTokens(below: vocabularySize)
        let steps = try preTokenizerSteps(root["pre_tokenizer"])
        let normalizer = try self.normalizer(root["normalizer"])
        let isByteLevel = steps.contains { $0 == .byteLevel }
        let vocabulary = try vocabulary(
            of: model, size: vocabularySize, added: added, isByteLevel ? .byteLevel : .sentencePiece)
        let merges = try merges(of: model, vocabulary, isByteLevel ? .byteLevel : .sentencePiece)
        let textModel: TextModel
        if isByteLevel {
            guard !normalizer.replacesSpaces, normalizer.leadingSpace == .never else {
                throw Self.unsupported("normalizer", root["normalizer"])
            }
            let cuts = steps.compactMap { if case .cut(let cut) = $0 { cut } else { nil } }
            textModel = .byteLevel(
                try PreTokenizer(steps: cuts, takesWholeWords: model["ignore_merges"]?.flag ?? false), merges)
        } else {
            textModel = .characters(
                CharacterPairs(merges, leadingSpace: try leadingSpace(normalizer, steps)))
        }
        let template = try template(root["post_processor"])
        let begin = template.begin ?? bosToken.flatMap { token(spelled: $0, added, vocabulary) }
        return try Tokenizer(
            vocabulary: vocabulary, model: textModel, bosToken: begin,
            eosToken: template.end ?? eosToken.flatMap { token(spelled: $0, added, vocabulary) },
            endTokens: endTokens.filter(vocabulary.contains), addsBOS: template.begin != nil,
            addsEOS: template.end != nil, composes: normalizer.composes,
            specialTokens: added.map {
                SpecialToken(
                    id: $0.id, bytes: $0.bytes, isOpen: !$0.isSpecial, stripsLeft: $0.stripsLeft,
                    stripsRight: $0.stripsRight)
            })
    }

    private func token(spelled text: String, _ added: [AddedToken], _ vocabulary: Vocabulary) -> Int32? {
        added.first { $0.bytes.elementsEqual(text.utf8) }?.id ?? vocabulary.id(of: Array(text.utf8))
    }

    // MARK: Tokens

    private struct AddedToken {
        let id: Int32
        let bytes: [UInt8]
        let isSpecial: Bool
        let stripsLeft: Bool
        let stripsRight: Bool
    }

    private func addedTokens(below size: Int) throws(TokenizerError) -> [AddedToken] {
        var tokens: [AddedToken] = []
        for entry in root["added_tokens"]?.elements ?? [] {
            guard let id = entry["id"]?.count, let text = entry["content"]?.text else {
                throw Self.invalid("an added token lacks its id or its text")
            }
            guard id < size else { continue }
            if entry["single_word"]?.flag == true {
                throw Self.invalid(
                    "the token \(PromptText(text).abbreviated) must be a whole word, which is not supported")
            }
            tokens.append(
                AddedToken(
                    id: Int32(id), bytes: Array(text.utf8), isSpecial: entry["special"]?.flag ?? false,
                    stripsLeft: entry["lstrip"]?.flag ?? false, stripsRight: entry["rstrip"]?.flag ?? false))
        }
        return tokens
    }

    private func vocabulary(
        of model: JSONValue, size: Int, added: [AddedToken], _ spelling: TokenSpelling
    ) throws(TokenizerError) -> Vocabulary {
        guard case .object(let entries) = model["vocab"] else { throw Self.invalid("its model has no vocab") }
        guard size <= Self.largestVocabulary else { throw Self.invalid("the model has \(size) tokens") }
        var spellings = [[UInt8]](repeating: [], count: size)
        var kinds = [TokenKind](repeating: .unused, count: size)
        let hasBytes = model["byte_fallback"]?.flag ?? false
        for entry in entries.members {
            guard let id = entry.value.count else { throw Self.invalid("the token \(entry.key.prefix(40)) has no id") }
            guard id < size else { continue }
            guard kinds[id] == .unused else { throw Self.invalid("two tokens have the id \(id)") }
            spellings[id] = Array(entry.key.utf8)
            kinds[id] = hasBytes && Self.isByte(spellings[id]) ? .byte : .normal
        }
        for token in added where token.isSpecial || kinds[Int(token.id)] == .unused {
            spellings[Int(token.id)] = token.bytes
            kinds[Int(token.id)] = token.isSpecial ? .control : .userDefined
        }
        let unknown = model["unk_token"]?.text.flatMap { text in entries[text]?.count }
        return try Vocabulary(
            spellings: spellings, kinds: kinds.map(\.rawValue), spelling,
            unknownToken: unknown.flatMap { $0 < size ? Int32($0) : nil })
    }

    /// Whether a token is written `<0x0A>`.
    private static func isByte(_ spelling: [UInt8]) -> Bool {
        spelling.count == 6 && spelling.starts(with: "<0x".utf8) && spelling[5] == UInt8(ascii: ">")
    }

    /// Of `"left right"` or `["left", "right"]`.
    private func merges(
        of model: JSONValue, _ vocabulary: Vocabulary, _ spelling: TokenSpelling
    ) throws(TokenizerError) -> BytePairMerges {
        func bytes(_ text: Substring) throws(TokenizerError) -> [UInt8] {
            if spelling == .sentencePiece { return Vocabulary.withSpaces(Array(text.utf8)) }
            guard let bytes = ByteAlphabet.bytes(of: String(text)) else {
                throw Self.invalid("a merge is not in the alphabet of bytes")
            }
            return bytes
        }
        var pairs: [(left: [UInt8], right: [UInt8])] = []
        for rule in model["merges"]?.elements ?? [] {
            if let text = rule.text {
                guard let space = text.dropFirst().firstIndex(of: " ") else {
                    throw Self.invalid("a merge has one part")
                }
                pairs.append((try bytes(text[..<space]), try bytes(text[text.index(after: space)...])))
            } else {
                guard let parts = rule.elements, parts.count == 2, let left = parts[0].text, let right = parts[1].text
                else { throw Self.invalid("a merge has not two parts") }
                pairs.append((try bytes(left[...]), try bytes(right[...])))
            }
        }
        return try BytePairMerges(pairs: pairs, vocabulary: vocabulary)
    }

    // MARK: What happens to a text

    private struct Normalizer {
        var composes = false
        var replacesSpaces = false
        var leadingSpace = CharacterPairs.LeadingSpace.never
    }

    private func normalizer(_ json: JSONValue?) throws(TokenizerError) -> Normalizer {
        var result = Normalizer()
        try add(json, to: &result)
        return result
    }

    private func add(_ json: JSONValue?, to result: inout Normalizer) throws(TokenizerError) {
        guard let json, json != .null else { return }
        switch json["type"]?.text {
        case "Sequence": for part in json["normalizers"]?.elements ?? [] { try add(part, to: &result) }
        case "NFC": result.composes = true
        case "Prepend" where json["prepend"]?.text == "▁": result.leadingSpace = .always
        case "Replace" where json["pattern"]?["String"]?.text == " " && json["content"]?.text == "▁":
            result.replacesSpaces = true
        default: throw Self.unsupported("normalizer", json)
        }
    }

    private enum Step: Equatable {
        /// A regular expression, or a name that `PreTokenizer` knows.
        case cut(String)
        /// From here on bytes are written in GPT-2's alphabet.
        case byteLevel
        /// Spaces become `▁`, with one in front as told.
        case spaces(CharacterPairs.LeadingSpace)
        /// Cuts where spaces are that a normalizer has replaced: nowhere.
        case nothing
    }

    private func preTokenizerSteps(_ json: JSONValue?) throws(TokenizerError) -> [Step] {
        guard let json, json != .null else { return [] }
        switch json["type"]?.text {
        case "Sequence":
            var steps: [Step] = []
            for part in json["pretokenizers"]?.elements ?? [] { steps += try preTokenizerSteps(part) }
            return steps
        case "Split" where json["invert"]?.flag != true:
            if let pattern = json["pattern"]?["Regex"]?.text, json["behavior"]?.text == "Isolated" {
                return [.cut(pattern)]
            }
            if json["pattern"]?["String"]?.text == " ", json["behavior"]?.text == "MergedWithPrevious" {
                return [.nothing]
            }
        case "Digits" where json["individual_digits"]?.flag == true: return [.cut(PreTokenizer.digitStep)]
        case "ByteLevel" where json["add_prefix_space"]?.flag != true:
            return (json["use_regex"]?.flag ?? true ? [.cut(PreTokenizer.gpt2Step)] : []) + [.byteLevel]
        case "Metaspace" where json["split"]?.flag != true && json["replacement"]?.text == "▁":
            switch json["prepend_scheme"]?.text {
            case "always": return [.spaces(.alwaysBeforeLetters)]
            case "first": return [.spaces(.onceBeforeLetters)]
            case "never": return [.spaces(.never)]
            default: break
            }
        default: break
        }
        throw Self.unsupported("pre_tokenizer", json)
    }

    /// Where a tokenizer of characters puts a space in front.
    private func leadingSpace(
        _ normalizer: Normalizer, _ steps: [Step]
    ) throws(TokenizerError) -> CharacterPairs.LeadingSpace {
        let rest = steps.filter { $0 != .nothing }
        if case .spaces(let scheme)? = rest.first, rest.count == 1, normalizer.leadingSpace == .never { return scheme }
        guard rest.isEmpty, normalizer.replacesSpaces, steps.isEmpty || normalizer.leadingSpace == .never else {
            throw Self.unsupported("pre_tokenizer", root["pre_tokenizer"])
        }
        return normalizer.leadingSpace
    }

    /// The tokens that a text begins and ends with.
    private func template(_ json: JSONValue?) throws(TokenizerError) -> (begin: Int32?, end: Int32?) {
        guard let json, json != .null else { return (nil, nil) }
        switch json["type"]?.text {
        case "ByteLevel": return (nil, nil)
        case "Sequence":
            var result: (begin: Int32?, end: Int32?) = (nil, nil)
            for part in json["processors"]?.elements ?? [] {
                let own = try template(part)
                result = (result.begin ?? own.begin, result.end ?? own.end)
            }
            return result
        case "TemplateProcessing":
            let pieces = json["single"]?.elements ?? []
            guard let text = pieces.firstIndex(where: { $0["Sequence"] != nil }), text <= 1, pieces.count <= text + 2
            else {
                throw Self.unsupported("post_processor", json)
            }
            func id(_ piece: JSONValue) throws(TokenizerError) -> Int32 {
                guard let name = piece["SpecialToken"]?["id"]?.text,
                    let ids = json["special_tokens"]?[name]?["ids"]?.elements, ids.count == 1,
                    let id = ids[0].count.flatMap({ Int32(exactly: $0) })
                else { throw Self.unsupported("post_processor", json) }
                return id
            }
            return (
                text == 1 ? try id(pieces[0]) : nil, pieces.count == text + 2 ? try id(pieces[text + 1]) : nil
            )
        default: throw Self.unsupported("post_processor", json)
        }
    }
}

extension JSONValue {
    /// The value of an object's key; nil where it is no object, or lacks it.
    fileprivate subscript(key: String) -> JSONValue? {
        guard case .object(let object) = self else { return nil }
        return object[key]
    }

    fileprivate var text: String? { if case .string(let text) = self { text } else { nil } }
    fileprivate var flag: Bool? { if case .bool(let flag) = self { flag } else { nil } }
    fileprivate var elements: [JSONValue]? { if case .array(let elements) = self { elements } else { nil } }
    /// An integer that isn't negative.
    fileprivate var count: Int? {
        guard case .integer(let integer) = wholeNumber, integer >= 0 else { return nil }
        return integer
    }
}
