// SPDX-License-Identifier: Apache-2.0

import Martlet
import MartletCheckpoints
import MartletCompute
import MartletTestSupport
import MartletText
import Testing

/// What a model's file says of itself, and what it says to the one who can't run it.
@Suite struct ModelFileTests {
    private func engine(_ file: TemporaryFile) async throws -> Engine {
        try await Engine.load(file.path)
    }

    private func message(_ writer: GGUFWriter) async throws -> String {
        let file = try TemporaryFile(writer.file)
        do {
            _ = try await engine(file)
            return ""
        } catch {
            return "\(error)"
        }
    }

    /// A vocabulary that is padded to a round size has tokens that no text has.
    @Test func unusedTokensAreNeverDrawn() async throws {
        var tiny = TinyModel()
        // Of the 256 bytes those are left that merges need.
        let unused = Set(
            (0..<256).filter { !["t", "h", "e", "l", "o", "Ġ"].contains(TinyModel.vocabulary.tokens[$0]) })
        tiny.tokenTypes = TinyModel.vocabulary.types.enumerated().map { unused.contains($0) ? 5 : $1 }
        let engine = try await engine(try tiny.write())
        var sampling = SamplingParameters()
        sampling.temperature = 5
        sampling.seed = 1
        sampling.maxTokens = 64
        sampling.ignoresEndTokens = true
        var drawn: [Int32] = []
        let request = GenerationRequest(promptTokens: [256], sampling: sampling)
        for try await piece in try engine.generate(request) { drawn += piece.tokens }
        #expect(drawn.count == 64)
        #expect(drawn.allSatisfy { !unused.contains(Int($0)) }, "\(drawn)")
        #expect(Set(drawn).count > 5)
        await engine.stop()
    }

    /// Files name the ends of answers under several keys, and some name one of several.
    @Test func everyEndIsAnEnd() async throws {
        var writer = TinyModel().writer
        writer.add("tokenizer.ggml.eot_token_id", UInt32(10))
        writer.add("tokenizer.ggml.eom_token_id", UInt32(11))
        writer.add("tokenizer.ggml.eos_token_ids", [12, 13, 1_000_000] as [Int32])
        let file = try TemporaryFile(writer.file)
        let tokenizer = try withExtendedLifetime(file) { try Tokenizer(of: GGUFFile(path: file.path)) }
        let last = Int32(TinyModel().vocabularySize - 1)
        // <|im_end|> is the last token, <|endoftext|> the one before the last two: known by their texts.
        #expect(tokenizer.endTokens == [10, 11, 12, 13, last, last - 2])
        #expect(tokenizer.addingEndTokens([14]).endTokens.contains(14))
    }

    @Test func partsOfModelsSayWhichTheyAre() async throws {
        var writer = TinyModel().writer
        writer.add("split.no", UInt32(0))
        writer.add("split.count", UInt32(3))
        let message = try await message(writer)
        #expect(
            message.contains("a part of a model of 3 files, whose names must end in -00001-of-00003.gguf"), "\(message)"
        )
    }

    @Test func everyObstacleIsNamedAtOnce() async throws {
        var writer = GGUFWriter()
        writer.add("general.architecture", "mamba")
        writer.add("tokenizer.ggml.model", "rwkv")
        writer.add("tokenizer.ggml.tokens", ["a", "b"])
        // IQ2_XS: 256 weights in 74 bytes.
        for name in ["blk.0.a.weight", "blk.0.b.weight"] {
            writer.add(tensor: name, dimensions: [256, 1], type: 17, data: [UInt8](repeating: 0, count: 74))
        }
        let text = try await message(writer)
        let order = ["3 reasons: (1)", "mamba", "(2)", "rwkv", "(3)", "2 of IQ2_XS", "fetch the model as Q4_K_M"]
        var rest = text[...]
        for part in order {
            let found = rest.firstRange(of: part)
            #expect(found != nil, "\(part) is not in its turn in: \(text)")
            if let found { rest = rest[found.upperBound...] }
        }
        // The file is inspected all the same.
        let file = try TemporaryFile(writer.file)
        let report = try withExtendedLifetime(file) { try ModelReport(of: GGUFFile(path: file.path)) }
        #expect(report.unsupportedTensors == ["IQ2_XS": 2] && report.problems.count == 3 && report.memory == nil)
    }

    /// What a template can't do keeps chats from working, and nothing else.
    @Test func aTemplateThatCantBeReadDisablesChatsAlone() async throws {
        var tiny = TinyModel()
        tiny.template = "{% include 'other' %}"
        let file = try tiny.write()
        let report = ModelReport(of: try GGUFFile(path: file.path))
        #expect(report.problems.isEmpty && report.templateProblems.count == 1)
        let engine = try await engine(file)
        #expect(throws: (any Error).self) { try engine.model.tokens(of: [.user("a")]) }
        var tokens = 0
        var sampling = SamplingParameters.greedy
        sampling.maxTokens = 3
        sampling.ignoresEndTokens = true
        for try await piece in try engine.generate(GenerationRequest(promptTokens: [1, 2], sampling: sampling)) {
            tokens += piece.tokens.count
        }
        #expect(tokens == 3)
        await engine.stop()
    }
}
