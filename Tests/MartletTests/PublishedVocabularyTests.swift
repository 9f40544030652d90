// SPDX-License-Identifier: Apache-2.0

import Foundation
import Martlet
import MartletCheckpoints
import MartletText
import Testing

private let folder = ProcessInfo.processInfo.environment["MARTLET_VOCABULARIES"]

/// Published vocabularies, which are too large for this repository, against the ids that their own tokenizers gave.
///
/// `MARTLET_VOCABULARIES` names a folder of GGUF files without tensors. Beside `NAME.gguf`, `NAME.gguf.inp` holds texts with
/// lines `__ggml_vocab_test__` between them, and `NAME.gguf.out` a line of ids for each; or `NAME.gguf.jsonl` holds lines
/// `{"text": …, "ids": […]}`.
@Suite struct PublishedVocabularyTests {
    @Test(.enabled(if: folder != nil)) func textsBecomeTheirTokens() throws {
        let folder = URL(filePath: try #require(folder))
        let names = try FileManager.default.contentsOfDirectory(atPath: folder.path).filter { $0.hasSuffix(".inp") }
        for name in names.sorted() {
            let file = folder.appending(path: String(name.dropLast(4)))
            let tokenizer = try Tokenizer(of: GGUFFile(path: file.path))
            let texts = try String(contentsOf: folder.appending(path: name), encoding: .utf8)
                .components(separatedBy: "\n__ggml_vocab_test__\n")
            let ids = try String(contentsOf: URL(filePath: file.path + ".out"), encoding: .utf8)
                .components(separatedBy: "\n")
            var wrong = 0
            for (text, line) in zip(texts, ids) {
                let expected = line.split(separator: " ").compactMap { Int32($0) }
                let tokens = tokenizer.encode(text)
                if tokens != expected { wrong += 1 }
                #expect(tokens == expected, "\(file.lastPathComponent): \(text.debugDescription)")
            }
            print("\(file.lastPathComponent): \(min(texts.count, ids.count) - wrong) of \(min(texts.count, ids.count))")
        }
    }

    @Test(.enabled(if: folder != nil)) func linesBecomeTheirTokens() throws {
        let folder = URL(filePath: try #require(folder))
        let names = try FileManager.default.contentsOfDirectory(atPath: folder.path).filter { $0.hasSuffix(".jsonl") }
        for name in names.sorted() {
            let file = folder.appending(path: String(name.dropLast(6)))
            let tokenizer = try Tokenizer(of: GGUFFile(path: file.path))
            let lines = try Data(contentsOf: folder.appending(path: name)).split(separator: UInt8(ascii: "\n"))
            var wrong = 0
            for line in lines {
                let expected = try JSONDecoder().decode(Line.self, from: line)
                let tokens = tokenizer.encode(expected.text)
                guard tokens != expected.ids else { continue }
                wrong += 1
                if wrong <= 3 {
                    Issue.record("\(name): \(expected.text.debugDescription) is \(tokens), not \(expected.ids)")
                }
            }
            print("\(file.lastPathComponent): \(lines.count - wrong) of \(lines.count)")
        }
    }

    private struct Line: Decodable {
        let text: String
        let ids: [Int32]
    }
}
