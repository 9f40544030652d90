// SPDX-License-Identifier: Apache-2.0

import Foundation
import Martlet
import MartletCheckpoints
import MartletTestSupport
import MartletText
import Testing

/// Small tokenizers of each kind, and the ids that the packages `tokenizers` 0.23.3 and, for Unigram, `sentencepiece` 0.2.3
/// gave for random texts: all scripts, whitespace, emoji, composed and decomposed letters. `PublishedVocabularyTests` reads as many more as there are.
@Suite struct TokenizerSampleTests {
    struct Sample: Decodable, Sendable, CustomTestStringConvertible {
        struct Line: Decodable, Sendable {
            let text: String
            let ids: [Int32]
        }

        let name: String
        let model: String
        let pre: String?
        let tokens: [String]
        let types: [Int32]
        let merges: [String]?
        let scores: [Float]?
        let unknown: UInt32?
        let addsSpace: Bool?
        let removesSpaces: Bool?
        /// SentencePiece's map of characters.
        let characters: [UInt8]?
        let lines: [Line]
        var testDescription: String { name }

        /// A GGUF file of the tokenizer alone.
        var file: [UInt8] {
            var writer = GGUFWriter()
            writer.add("general.architecture", "llama")
            writer.add("tokenizer.ggml.model", model)
            if let pre { writer.add("tokenizer.ggml.pre", pre) }
            writer.add("tokenizer.ggml.tokens", tokens)
            writer.add("tokenizer.ggml.token_type", types)
            if let merges { writer.add("tokenizer.ggml.merges", merges) }
            if let scores {
                let numbers = scores.flatMap { GGUFWriter.bytes($0.bitPattern) }
                writer.add(
                    "tokenizer.ggml.scores", type: 9,
                    GGUFWriter.bytes(UInt32(6)) + GGUFWriter.bytes(UInt64(scores.count)) + numbers)
            }
            if let unknown { writer.add("tokenizer.ggml.unknown_token_id", unknown) }
            if let addsSpace { writer.add("tokenizer.ggml.add_space_prefix", addsSpace) }
            if let removesSpaces { writer.add("tokenizer.ggml.remove_extra_whitespaces", removesSpaces) }
            if let characters {
                writer.add(
                    "tokenizer.ggml.precompiled_charsmap", type: 9,
                    GGUFWriter.bytes(UInt32(0)) + GGUFWriter.bytes(UInt64(characters.count)) + characters)
            }
            return writer.file
        }
    }

    static let samples: [Sample] = {
        guard let url = Bundle.module.url(forResource: "Fixtures/tokenizers", withExtension: "json"),
            let data = try? Data(contentsOf: url), let samples = try? JSONDecoder().decode([Sample].self, from: data)
        else { return [] }
        return samples
    }()

    @Test func thereAreSamples() { #expect(Self.samples.count == 12) }

    @Test(arguments: samples) func textsBecomeTheirTokens(_ sample: Sample) throws {
        let file = try TemporaryFile(sample.file)
        let tokenizer = try Tokenizer(of: GGUFFile(path: file.path))
        #expect(sample.lines.count >= 40)
        for line in sample.lines {
            #expect(tokenizer.encode(line.text) == line.ids, "\(line.text.debugDescription)")
        }
    }

    /// A map of characters with any byte changed, or cut off anywhere, is refused or read within its bounds.
    @Test func hostileMapsAreSurvived() throws {
        let sample = try #require(Self.samples.first { $0.characters != nil })
        let map = try #require(sample.characters)
        let text = Array(sample.lines.map(\.text).joined().utf8)[...]
        for index in map.indices {
            for value in [0, 0x7f, 0x80, 0xff] as [UInt8] {
                var changed = map
                changed[index] = value
                _ = try? CharacterMap(changed).longestMatch(in: text)
                for start in stride(from: 0, to: text.count, by: 97) {
                    _ = try? CharacterMap(changed).longestMatch(in: text[start...])
                }
            }
        }
        for length in map.indices { _ = try? CharacterMap(Array(map[..<length])).longestMatch(in: text) }
    }
}
