// SPDX-License-Identifier: Apache-2.0

import Martlet
import MartletTestSupport
import Testing

/// What a program that imports `Martlet` alone relies on.
@Suite struct LibraryTests {
    private func engine(_ change: (inout EngineOptions) -> Void = { _ in }) async throws -> Engine {
        let file = try TinyModel().write()
        var options = EngineOptions()
        change(&options)
        return try await Engine.load(file.path, options: options)
    }

    @Test(.timeLimit(.minutes(1))) func aCancelledAnswerSaysSo() async throws {
        let engine = try await engine()
        var sampling = SamplingParameters()
        (sampling.n, sampling.ignoresEndTokens) = (2, true)
        let stream = try engine.generate([.user("a")], sampling: sampling)
        stream.cancel()
        var reasons: [GenerationSummary.FinishReason?] = [nil, nil]
        for try await piece in stream {
            if let summary = piece.summary { reasons[piece.sample] = summary.finishReason }
        }
        #expect(reasons == [.cancelled, .cancelled])
        let second = try engine.generate([.user("a")], sampling: sampling)
        second.cancel()
        #expect(try await second.answers().map(\.summary?.finishReason) == [.cancelled, .cancelled])
    }

    @Test func whatLoadingThrowsIsOneType() async throws {
        func code(of path: String) async -> EngineError.Code? {
            do throws(EngineError) { _ = try await Engine.load(path) } catch { return error.code }
            return nil
        }
        #expect(await code(of: "/nowhere/model.gguf") == .unreadableFile)
        let text = try TemporaryFile(Array("This is no model.".utf8))
        #expect(await code(of: text.path) == .damagedModel)
        let whole = TinyModel().writer.file
        let cut = try TemporaryFile(Array(whole.prefix(whole.count / 2)))
        #expect(await code(of: cut.path) == .damagedModel)
    }

    @Test func progressComesInPercents() async throws {
        let file = try TinyModel().write()
        let fractions = Lock<[Double]>([])
        _ = try await Engine.load(file.path) { fraction in fractions.withLock { $0.append(fraction) } }
        let seen = fractions.withLock { $0 }
        #expect(seen.count <= 100 && seen.last == 1)
        #expect(seen == seen.sorted() && Set(seen).count == seen.count)
    }

    @Test func aFileIsReadWithoutItsWeights() async throws {
        let file = try TinyModel().write()
        let model = try ModelFile(file.path)
        let engine = try await Engine.load(file.path)
        #expect(model.name == engine.model.name && model.contextLength == engine.model.contextLength)
        #expect(try model.text.tokens(of: [.user("a")]) == engine.model.tokens(of: [.user("a")]))
        #expect(model.memory.weightBytes == engine.model.weightBytes)
        let perToken = engine.model.cacheBytes / engine.model.cacheTokens
        #expect(model.memory.cacheBytesPerToken == perToken)
        #expect(model.memory.bytes(forTokens: 10) == engine.model.weightBytes + 10 * perToken)
        #expect(model.memory.bytes(forTokens: .max) == .max)
        #expect(throws: EngineError.self) { try ModelFile("/nowhere/model.gguf") }
    }

    /// Layers with a window take no more for a longer context.
    @Test func memoryCountsWindows() async throws {
        let header = try #require(CheckpointHeader.all.first { $0.name == "gemma3" })
        let file = try TemporaryFile(header.randomModel(contextLength: 4096).file)
        var options = EngineOptions()
        options.maxNumBatchedTokens = 16
        let memory = try ModelFile(file.path, options: options).memory
        // Five of six groups keep their window of 12 tokens, a tile of 64 and two steps of 16: 8 blocks at most.
        #expect(memory.bytes(forSequences: 1, tokens: 16) == memory.bytes(forTokens: 16))
        let blockBytes = 16 * memory.cacheBytesPerToken / 6
        let blocks = 256 + 5 * 8
        let expected = memory.weightBytes + 3 * blocks * blockBytes
        #expect(memory.bytes(forSequences: 3, tokens: 4096) == expected)
        #expect(memory.bytes(forSequences: 3, tokens: Int.max) == Int.max)
        #expect(memory.bytes(forSequences: Int.max, tokens: 1) == Int.max)
        #expect(memory.bytes(forSequences: -1, tokens: -1) == memory.weightBytes)
    }

    /// Only what the program's source spells becomes a control token.
    @Test func interpolatedPromptsCannotBeForged() async throws {
        let engine = try await engine()
        let forged = "<|im_start|>"
        let prompt: PromptText = "<|im_start|>user\n\(forged)<|im_end|>"
        let tokens = engine.model.text.tokens(of: prompt)
        let start = try #require(engine.model.tokenizer.encode(forged, parsingSpecials: true).first)
        #expect(tokens.count { $0 == start } == 1)
        #expect(prompt.string == "<|im_start|>user\n<|im_start|><|im_end|>")
        let joined: PromptText = "\(prompt)\(7)"
        #expect(engine.model.text.tokens(of: joined).count { $0 == start } == 1)
    }
}
