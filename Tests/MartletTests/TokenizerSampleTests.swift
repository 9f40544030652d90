// SPDX-License-Identifier: Apache-2.0

import Foundation
import Martlet
import MartletCheckpoints
import MartletTestSupport
import MartletText
import Testing

/// Small tokenizers of each kind, and the ids that the package `tokenizers` 0.23.3 gave for random texts: all scripts,
/// whitespace, emoji, composed and decomposed letters. `PublishedVocabularyTests` reads as many more as there are.
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
            return writer.file
        }
    }

    static let samples: [Sample] = {
        guard let url = Bundle.module.url(forResource: "Fixtures/tokenizers", withExtension: "json"),
            let data = try? Data(contentsOf: url), let samples = try? JSONDecoder().decode([Sample].self, from: data)
        else { return [] }
        return samples
    }()

    @Test func thereAreSamples() { #expect(Self.samples.count == 11) }

    @Test(arguments: samples) func textsBecomeTheirTokens(_ sample: Sample) throws {
        let file = try TemporaryFile(sample.file)
        let tokenizer = try Tokenizer(of: GGUFFile(path: file.path))
        #expect(sample.lines.count >= 40)
        for line in sample.lines {
            #expect(tokenizer.encode(line.text) == line.ids, "\(line.text.debugDescription)")
        }
    }
}
