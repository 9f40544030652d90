// SPDX-License-Identifier: Apache-2.0

import Foundation
import MartletJSON
import MartletText
import Testing

/// Small `tokenizer.json` files of each kind, and the ids that the package `tokenizers` 0.23.3 gave for texts of all scripts.
@Suite struct TokenizerFileTests {
    struct Sample: Sendable, CustomTestStringConvertible {
        struct Line: Sendable {
            let text: String
            let ids: [Int32]
            /// Whether special tokens were parsed, and those added that a text begins and ends with.
            let parses: Bool
        }

        let name: String
        let size: Int
        let file: JSONValue
        let lines: [Line]
        var testDescription: String { name }

        func tokenizer(_ file: JSONValue? = nil) throws -> Tokenizer {
            try TokenizerFile(file ?? self.file).tokenizer(
                vocabularySize: size, bosToken: nil, eosToken: nil, endTokens: [])
        }
    }

    static let samples: [Sample] = {
        guard let url = Bundle.module.url(forResource: "Fixtures/tokenizer-files", withExtension: "json"),
            let data = try? Data(contentsOf: url),
            case .array(let samples) = try? JSONParser.parse([UInt8](data), maximumDepth: 64)
        else { return [] }
        return samples.compactMap { sample in
            guard case .object(let object) = sample, case .string(let name) = object["name"],
                case .integer(let size) = object["size"], let file = object["file"],
                case .array(let lines) = object["lines"]
            else { return nil }
            return Sample(name: name, size: size, file: file, lines: lines.compactMap(Self.line))
        }
    }()

    private static func line(_ json: JSONValue) -> Sample.Line? {
        guard case .object(let object) = json, case .string(let text) = object["text"],
            case .array(let ids) = object["ids"], case .bool(let parses) = object["parses"]
        else { return nil }
        return Sample.Line(
            text: text, ids: ids.compactMap { if case .integer(let id) = $0 { Int32(id) } else { nil } },
            parses: parses)
    }

    @Test func allKindsAreThere() {
        #expect(Self.samples.count == 12 && Self.samples.allSatisfy { $0.lines.count > 20 })
    }

    @Test(arguments: samples) func textsBecomeTheirTokens(_ sample: Sample) throws {
        let tokenizer = try sample.tokenizer()
        for line in sample.lines {
            let tokens = tokenizer.encode(line.text, parsingSpecials: line.parses, addingBOS: line.parses)
            #expect(tokens == line.ids, "\(line.text.debugDescription)")
        }
    }

    /// A user's text never becomes a special token.
    @Test(arguments: samples) func specialTokensAreNotForged(_ sample: Sample) throws {
        let tokenizer = try sample.tokenizer()
        let specials = Set((0..<Int32(sample.size)).filter { tokenizer.bytes(of: $0).isEmpty })
        #expect(!specials.isEmpty)
        for id in specials {
            let text = String(decoding: tokenizer.bytes(of: id, includingSpecials: true), as: UTF8.self)
            #expect(!tokenizer.encode(text).contains(id) || text.isEmpty, "\(text)")
        }
    }

    /// The file with something else in the place of one of its values.
    private func changed(_ sample: Sample, _ key: String, _ value: JSONValue?) -> JSONValue {
        guard case .object(var object) = sample.file else { return sample.file }
        object.members.removeAll { $0.key == key }
        if let value { object.members.append(JSONObject.Member(key: key, value: value)) }
        return .object(object)
    }

    @Test func whatIsNotComputedIsRefusedByName() throws {
        let sample = try #require(Self.samples.first)
        for (key, value, words) in [
            ("model", ["type": "WordLevel"], "WordLevel"), ("model", nil, "no model"),
            ("model", ["type": "BPE"], "no vocab"), ("normalizer", ["type": "NFKC"], "NFKC"),
            ("normalizer", ["type": "Sequence", "normalizers": [["type": "Lowercase"]]], "Lowercase"),
            ("pre_tokenizer", ["type": "Whitespace"], "Whitespace"),
            (
                "pre_tokenizer",
                [
                    "type": "Sequence",
                    "pretokenizers": [
                        ["type": "Split", "pattern": ["Regex": "a|b"], "behavior": "Isolated", "invert": false],
                        ["type": "ByteLevel", "add_prefix_space": false, "use_regex": false],
                    ],
                ], "a|b"
            ),
            ("post_processor", ["type": "RobertaProcessing"], "RobertaProcessing"),
            ("added_tokens", [["id": 1]], "added token"),
            ("added_tokens", [["id": 1, "content": "a", "single_word": true]], "whole word"),
        ] as [(String, JSONValue?, String)] {
            let error = try #require(throws: TokenizerError.self) { try sample.tokenizer(changed(sample, key, value)) }
            #expect(error.message.contains(words), "\(error.message)")
        }
    }

    /// Any value of a file in the place of any other is an error, or a tokenizer that can be used.
    @Test(arguments: samples) func changedFilesAreSurvived(_ sample: Sample) throws {
        let others: [JSONValue] = [
            nil, true, -1, 9_223_372_036_854_775_807, 1.5, "", "\u{2581}", [], [:], ["a": ["a": []]], [[], [1]],
        ]
        guard case .object(let object) = sample.file else { return }
        for member in object.members {
            for other in others { try use(changed(sample, member.key, other), sample) }
            guard case .object(let inner) = member.value else { continue }
            for key in inner.members.map(\.key) {
                for other in others {
                    var copy = inner
                    copy.members.removeAll { $0.key == key }
                    copy.members.append(JSONObject.Member(key: key, value: other))
                    try use(changed(sample, member.key, .object(copy)), sample)
                }
            }
        }
    }

    private func use(_ file: JSONValue, _ sample: Sample) throws {
        do {
            let tokenizer = try sample.tokenizer(file)
            #expect(tokenizer.encode("a text, é").allSatisfy { $0 >= 0 && Int($0) < sample.size })
        } catch let error as TokenizerError { #expect(!error.message.isEmpty) }
    }
}
