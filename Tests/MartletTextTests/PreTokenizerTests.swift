// SPDX-License-Identifier: Apache-2.0

import Foundation
import MartletText
import Testing

private struct WordCase: Decodable, CustomTestStringConvertible {
    let text: String
    let gpt2: [String]
    let smollm: [String]
    let llama3: [String]
    let qwen2: [String]
    var testDescription: String { text.debugDescription }

    enum CodingKeys: String, CodingKey {
        case text, smollm, qwen2
        case gpt2 = "gpt-2"
        case llama3 = "llama-bpe"
    }

    /// Cut by the published patterns on a full regex engine.
    static let all = Fixtures.decode([WordCase].self, "words.json")
}

enum Fixtures {
    static func decode<Value: Decodable>(_ type: Value.Type, _ name: String) -> Value {
        do {
            let url = Bundle.module.url(forResource: "Fixtures/\(name)", withExtension: nil)
            return try JSONDecoder().decode(type, from: Data(contentsOf: #require(url)))
        } catch {
            fatalError("\(name): \(error)")
        }
    }
}

@Suite struct PreTokenizerTests {
    private func words(_ text: String, _ scanner: PreTokenizer) -> [String] {
        let classified = ClassifiedText(Array(text.utf8)[...])
        var result: [String] = []
        scanner.forEachWord(in: classified) { result.append(String(decoding: classified.bytes[$0], as: UTF8.self)) }
        return result
    }

    @Test(arguments: WordCase.all) fileprivate func cutsAsThePatternDoes(_ sample: WordCase) {
        #expect(words(sample.text, .gpt2) == sample.gpt2)
        #expect(words(sample.text, .smollm) == sample.smollm)
        #expect(words(sample.text, .llama3) == sample.llama3)
        #expect(words(sample.text, .qwen2) == sample.qwen2)
    }

    /// Lines are cut before words: no run of spaces reaches over their end.
    @Test func linesAreCutFirst() throws {
        #expect(words("a \n\n b", try PreTokenizer(named: "laguna")) == ["a", " ", "\n\n", " b"])
        #expect(words("a \n\n b", .qwen2) == ["a", " \n\n", " b"])
    }

    @Test func refusesUnknownNames() {
        #expect(throws: TokenizerError.self) { try PreTokenizer(named: "nosuch") }
    }
}
