// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import Martlet
import MartletCheckpoints
import MartletFuzz
import MartletTestSupport
import MartletText

struct FuzzFiles: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "files", abstract: "Damaged GGUF files.",
        discussion: """
            Each is a tiny model's file with some bytes changed, cut, put in or moved. It is inspected, its tokenizer and its \
            template are read, and one in --load-every of those that can be read is loaded and answers.
            """)

    @Option(help: "Files.") var count = 1000
    @Option(help: "The first file's seed; the next ones count up.") var seed: UInt64 = 0
    @Option(help: "Of the files that can be read, one in so many is loaded.") var loadEvery = 20

    func run() async throws {
        let original = TinyModel().writer.file
        let folder = FileManager.default.temporaryDirectory.appending(path: "martlet-fuzz-\(getpid())")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let path = folder.appending(path: "model.gguf").path
        var (refused, readable, answered, slow) = (0, 0, 0, 0)
        for index in 0..<UInt64(max(0, count)) {
            var random = FuzzRandom(seed: seed &+ index)
            try Data(Self.damaged(original, &random)).write(to: URL(filePath: path))
            let start = ContinuousClock.now
            do {
                let file = try GGUFFile(path: path)
                let report = ModelReport(of: file)
                let tokenizer = try Tokenizer(of: file)
                _ = tokenizer.encode("hello <|im_start|> the", parsingSpecials: true)
                if let source = try file.contents.string("tokenizer.chat_template") {
                    _ = try? ChatTemplate(source).render([.user("x")])
                }
                readable += 1
                if report.problems.isEmpty, random.chance(max(1, loadEvery)) { answered += try await answer(path) }
            } catch {
                refused += 1
            }
            let seconds = (ContinuousClock.now - start) / .seconds(1)
            if seconds > 5 {
                slow += 1
                print("slow: seed \(seed &+ index) took \(seconds) s")
            }
        }
        print(
            "\(count) files: \(refused) refused, \(readable) readable, \(answered) of them answered, \(slow) slow; \(ResidentMemory.text)"
        )
        if slow > 0 { throw ExitCode.failure }
    }

    private func answer(_ path: String) async throws -> Int {
        var options = EngineOptions()
        options.threads = 1
        options.kvCacheMemoryBytes = 1 << 20
        options.maxNumBatchedTokens = 16
        options.maxNumSeqs = 1
        let engine = try await Engine.load(path, options: options)
        var sampling = SamplingParameters.greedy
        sampling.maxTokens = 2
        _ = try? await engine.generate("hello", sampling: sampling).answers()
        await engine.stop()
        return 1
    }

    /// One to four changes, most of them in the header, where all numbers are.
    private static func damaged(_ original: [UInt8], _ random: inout FuzzRandom) -> [UInt8] {
        var bytes = original
        let header = min(bytes.count, 16_384)
        let extremes: [UInt64] = [
            0, 1, 0xff, 0x7f, 0x8000_0000, 0xffff_ffff, 1 << 63, .max, 0x7fff_ffff_ffff_ffff, 65_536,
        ]
        for _ in 0..<(1 + random.below(4)) where bytes.count > 64 {
            let at = random.below(random.chance(8) ? bytes.count : min(header, bytes.count))
            switch random.below(8) {
            case 0, 1: bytes[at] = UInt8(random.below(256))
            case 2: bytes[at] ^= 1 << UInt8(random.below(8))
            case 3, 4:
                let value = random.pick(extremes)
                for offset in 0..<random.pick([1, 4, 8]) where at + offset < bytes.count {
                    bytes[at + offset] = UInt8(truncatingIfNeeded: value >> UInt64(8 * offset))
                }
            case 5: bytes.removeSubrange(at..<min(bytes.count, at + 1 + random.below(16)))
            case 6: bytes.insert(contentsOf: (0..<(1 + random.below(16))).map { _ in UInt8(random.below(256)) }, at: at)
            default: if random.chance(4) { bytes.removeSubrange(at...) }
            }
        }
        return bytes
    }
}

/// What this process, or another one, holds.
enum ResidentMemory {
    static func megabytes(of process: String = "self") -> Int? {
        guard let text = try? String(contentsOfFile: "/proc/\(process)/statm", encoding: .utf8),
            let pages = text.split(separator: " ").dropFirst().first.flatMap({ Int($0) })
        else { return nil }
        return pages / 256
    }

    static var text: String { megabytes().map { "\($0) MB resident" } ?? "" }
}
