// SPDX-License-Identifier: Apache-2.0

import Foundation
import Martlet
import MartletCheckpoints
import MartletTestSupport
import MartletText
import Testing

/// Models in the hub's own form.
@Suite struct FolderModelTests {
    /// Kinds that are refused, and by which words.
    private static let refused = [
        "apertus": "apertus", "lfm2": "lfm2", "qwen3_5": "qwen3_5_text", "gemma4_e": "num_kv_shared_layers",
        "gemma4_moe": "experts",
    ]

    /// A folder and a GGUF file of the same model are the same model.
    @Test(arguments: HubFolder.all) func foldersAreWhatTheirFilesAre(_ folder: HubFolder) throws {
        let written = try folder.write()
        let report = try ModelReport(folder: written.path)
        if let words = Self.refused[folder.name] {
            #expect(report.problems.joined().contains(words), "\(report.problems)")
            return
        }
        #expect(report.problems.isEmpty, "\(report.problems)")
        let shape = try #require(report.shape)
        guard let header = CheckpointHeader.all.first(where: { $0.name == folder.name }) else { return }
        let file = try TemporaryFile(header.writer.file)
        let expected = try #require(ModelReport(of: GGUFFile(path: file.path)).shape)
        #expect(shape.layers == expected.layers && shape.hiddenSize == expected.hiddenSize)
        #expect(shape.contextLength == expected.contextLength && shape.tiesOutput == expected.tiesOutput)
        #expect(shape.kinds.map(\.layers) == expected.kinds.map(\.layers))
        #expect(shape.kinds.map(\.feedForward) == expected.kinds.map(\.feedForward))
        #expect(shape.kinds.map(\.attention).map(comparable) == expected.kinds.map(\.attention).map(comparable))
    }

    /// Without what GGUF files say in another way: which elements turn together, and Llama 3's scaling.
    private func comparable(_ attention: String) -> String {
        attention.replacing(#/ turn by [a-z]+/#, with: " turn")
            .replacing(#/llama3 [0-9.]+ from [0-9]+/#, with: "a factor for each frequency")
    }

    @Test func aFolderAnswers() async throws {
        let folder = try #require(HubFolder.all.first { $0.name == "llama" })
        var random = SeededGenerator(3)
        let written = try folder.write { tensor in
            let count = tensor.shape.reduce(1, *)
            return random.normals(count, scale: tensor.shape.count == 1 ? 1 : 0.2).flatMap {
                GGUFWriter.bytes(UInt16($0.bitPattern >> 16))
            }
        }
        try written.write(Array(#"{"eos_token_id": [7, 9]}"#.utf8), to: "generation_config.json")
        try written.write(
            Array(#"{"chat_template": "{{ messages[0].content }}", "bos_token": {"content": "!"}}"#.utf8),
            to: "tokenizer_config.json")
        let engine = try await Engine.load(written.path)
        #expect(engine.model.tokenizer.endTokens == [7, 9, 639] && engine.model.tokenizer.vocabularySize == 640)
        #expect(engine.model.tokenizer.bosToken == 33 && !engine.model.tokenizer.addsBOS)
        #expect(try engine.model.tokens(of: [.user("hé")]) == [0x68, 0xc3, 0xa9])
        let file = try ModelFile(written.path)
        #expect(file.memory.weightBytes == engine.model.weightBytes && file.contextLength == 512)
        #expect(file.parameterCount == folder.tensors.reduce(0) { $0 + $1.shape.reduce(1, *) })
        var request = GenerationRequest(promptTokens: [1, 2, 3])
        request.sampling.maxTokens = 5
        request.sampling.ignoresEndTokens = true
        var count = 0
        for try await piece in try engine.generate(request) { count += piece.tokens.count }
        #expect(count == 5)
    }

    @Test func modelsOfEmbeddingsAreRefused() throws {
        var folder = try #require(HubFolder.all.first { $0.name == "gemma3" })
        folder.config = folder.config.replacing(
            "\"use_bidirectional_attention\":false", with: "\"use_bidirectional_attention\":true")
        let refused = try folder.write()
        let problems = try ModelReport(folder: refused.path).problems
        #expect(problems.joined().contains("use_bidirectional_attention"), "\(problems)")
        folder.config = folder.config.replacing(
            "\"use_bidirectional_attention\":true", with: "\"use_bidirectional_attention\":\"vision\"")
        let open = try folder.write()
        #expect(try ModelReport(folder: open.path).problems.isEmpty)
    }

    /// A tokenizer is read without the weights.
    @Test func tokenizersAreReadAlone() throws {
        let folder = try #require(HubFolder.all.first { $0.name == "gemma3_mm" })
        let written = try folder.write()
        try written.remove("model.safetensors")
        #expect(try Tokenizer(ofModelAt: written.path).encode("aé") == [0x61, 0xc3, 0xa9])
        let file = try TinyModel().write()
        #expect(try Tokenizer(ofModelAt: file.path).vocabularySize == 268)
        let error = try #require(throws: CheckpointError.self) { try ModelQuantizer(path: written.path, type: .q8_0) }
        #expect(error.message.contains("--quantization"))
    }

    /// A folder that lacks a file, or holds a broken one, is refused by that file's name.
    @Test func brokenFoldersAreExplained() async throws {
        let folder = try #require(HubFolder.all.first { $0.name == "qwen2" })
        func message(_ change: (TemporaryFolder) throws -> Void) async throws -> String {
            let written = try folder.write()
            try change(written)
            do { _ = try await Engine.load(written.path) } catch { return "\(error)" }
            return ""
        }
        for name in ["config.json", "model.safetensors", "tokenizer.json"] {
            let missing = try await message { try $0.remove(name) }
            #expect(missing.contains(name.hasSuffix(".safetensors") ? "safetensors" : name), "\(missing)")
            let broken = try await message { try $0.write(Array("{\"a\"".utf8), to: name) }
            #expect(broken.contains(name), "\(broken)")
        }
        for name in ["generation_config.json", "tokenizer_config.json"] {
            let broken = try await message { try $0.write([0xff], to: name) }
            #expect(broken.contains(name), "\(broken)")
        }
        let quantized = try await message {
            try $0.write(
                Array(folder.config.dropLast().utf8) + Array(#","quantization_config":{"quant_method":"awq"}}"#.utf8),
                to: "config.json")
        }
        #expect(quantized.contains("quantization_config"), "\(quantized)")
    }

    /// Each number and name of a configuration may be any other value: an error, or a model.
    @Test(arguments: HubFolder.all) func changedConfigurationsAreSurvived(_ folder: HubFolder) throws {
        let written = try folder.write()
        let values = [
            "null", "-1", "0", "1", "3", "1e300", "9223372036854775807", "1.5", "\"x\"", "[]", "[[1]]", "{}", "true",
        ]
        // A value ends where the next key or the end begins; nested objects are changed by their parts.
        let keys = folder.config.matches(of: #/"([a-z_0-9]+)":(-?[0-9.e+-]+|"[^"]*"|true|false|null|\[[^\[\]]*\])/#)
        #expect(keys.count > 8)
        // All of them together see each value in the place of each key, many times over.
        let first = HubFolder.all.firstIndex { $0.name == folder.name } ?? 0
        for (number, key) in keys.enumerated() {
            for step in 0..<5 {
                let value = values[(first + number + step * 3) % values.count]
                var config = folder.config
                config.replaceSubrange(key.output.2.startIndex..<key.output.2.endIndex, with: value)
                try written.write(Array(config.utf8), to: "config.json")
                _ = try ModelReport(folder: written.path)
            }
        }
    }
}
