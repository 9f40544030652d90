// SPDX-License-Identifier: Apache-2.0

import Foundation
import Martlet
import MartletCheckpoints
import MartletJSON
import MartletText
import Testing

private let folder = ProcessInfo.processInfo.environment["MARTLET_VOCABULARIES"]

/// Published vocabularies, which are too large for this repository, against the ids that their own tokenizers gave.
///
/// `MARTLET_VOCABULARIES` names a folder of GGUF files without tensors, or of `tokenizer.json` files. Beside `NAME.gguf`, `NAME.gguf.inp` holds texts with
/// lines `__ggml_vocab_test__` between them, and `NAME.gguf.out` a line of ids for each; or `NAME.gguf.jsonl` holds lines
/// `{"text": …, "ids": […]}`.
@Suite struct PublishedVocabularyTests {
    @Test(.enabled(if: folder != nil)) func textsBecomeTheirTokens() throws {
        try check(beside: ".inp") { file in
            let texts = try String(contentsOfFile: file + ".inp", encoding: .utf8)
                .components(separatedBy: "\n__ggml_vocab_test__\n")
            let ids = try String(contentsOfFile: file + ".out", encoding: .utf8).components(separatedBy: "\n")
            return zip(texts, ids).map { text, line in
                Line(text: text, ids: line.split(separator: " ").compactMap { Int32($0) })
            }
        }
    }

    @Test(.enabled(if: folder != nil)) func linesBecomeTheirTokens() throws {
        try check(beside: ".jsonl") { file in
            try Data(contentsOf: URL(filePath: file + ".jsonl")).split(separator: UInt8(ascii: "\n"))
                .map { try JSONDecoder().decode(Line.self, from: $0) }
        }
    }

    /// - Parameter lines: those that lie beside a vocabulary's file.
    private func check(beside suffix: String, lines: (_ file: String) throws -> [Line]) throws {
        let folder = URL(filePath: try #require(folder))
        let names = try FileManager.default.contentsOfDirectory(atPath: folder.path).filter { $0.hasSuffix(suffix) }
        for name in names.sorted() {
            let file = folder.appending(path: String(name.dropLast(suffix.count)))
            let tokenizer = try tokenizer(of: file)
            let lines = try lines(file.path)
            var wrong = 0
            for line in lines {
                let tokens = tokenizer.encode(line.text)
                if tokens != line.ids { wrong += 1 }
                #expect(tokens == line.ids, "\(file.lastPathComponent): \(line.text.debugDescription)")
            }
            print("\(file.lastPathComponent): \(lines.count - wrong) of \(lines.count)")
        }
    }

    private func tokenizer(of file: URL) throws -> Tokenizer {
        guard file.pathExtension == "json" else { return try Tokenizer(of: GGUFFile(path: file.path)) }
        let json = try JSONParser.parse([UInt8](Data(contentsOf: file)), maximumDepth: 128)
        return try TokenizerFile(json).tokenizer(
            vocabularySize: 300_000, bosToken: nil, eosToken: nil, endTokens: [])
    }

    private struct Line: Decodable {
        let text: String
        let ids: [Int32]
    }
}
