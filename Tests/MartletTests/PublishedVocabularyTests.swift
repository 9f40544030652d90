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
/// lines `__ggml_vocab_test__` between them, and `NAME.gguf.out` a line of ids for each.
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
}
