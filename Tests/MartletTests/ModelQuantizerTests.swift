// SPDX-License-Identifier: Apache-2.0

import Foundation
import Martlet
import MartletCheckpoints
import MartletCompute
import MartletTestSupport
import Testing

@Suite struct ModelQuantizerTests {
    private func source(_ type: ElementType = .bfloat16, whole: Bool = true, tied: Bool = true) throws -> TemporaryFile
    {
        var model = whole ? TinyModel(of: .q4_k) : TinyModel()
        (model.type, model.embeddingType, model.hasOutput, model.hasBias) = (type, type, !tied, true)
        return try model.write()
    }

    private func scores(_ path: String) async throws -> [TokenScore] {
        var options = EngineOptions()
        options.activations = .int16
        let engine = try await Engine.load(path, options: options)
        let scores = try await engine.score((0..<60).map { Int32($0 * 37 % 250) })
        await engine.stop()
        return scores
    }

    /// The file loads, has the metadata, and computes about what its source does: the nearer the more bits it has. Logits of
    /// random weights are large, so that an error of 1 % in a matrix moves a logprob by 0.2.
    @Test(arguments: [
        (ElementType.q8_0, 0.2), (.q6_k, 0.55), (.q4_k, 2.1), (.q4_1, 2.3), (.q4_0, 2.6),
    ]) func computesAboutTheSame(_ type: ElementType, _ most: Double) async throws {
        for tied in [true, false] {
            let source = try source(tied: tied)
            let path = source.path + ".\(type.rawValue).gguf"
            defer { try? FileManager.default.removeItem(atPath: path) }
            let summary = try ModelQuantizer(path: source.path, type: type, threads: 2).write(to: path)
            let (file, original) = (try GGUFFile(path: path), try GGUFFile(path: source.path))
            #expect(file.byteCount == summary.byteCount && summary.byteCount < summary.sourceBytes)
            #expect(try file.contents.string("general.name") == original.contents.string("general.name"))
            #expect(try file.strings("tokenizer.ggml.tokens") == original.strings("tokenizer.ggml.tokens"))
            #expect(file.contents.metadata["general.quantization_version"] == .unsigned(2, .uint32))
            #expect(file.contents.tensors.map(\.name) == original.contents.tensors.map(\.name))
            let output = try #require(file.contents.tensor(named: tied ? "token_embd.weight" : "output.weight"))
            #expect(output.elementType == (type == .q8_0 ? .q8_0 : .q6_k))
            let (found, expected) = (try await scores(path), try await scores(source.path))
            let differences = zip(found, expected).map { abs(Double($0.logprob - $1.logprob)) }
            let mean = differences.reduce(0, +) / Double(differences.count)
            #expect(mean > 0 && mean < most, "\(mean)")
        }
    }

    /// A model that is quantised while it is loaded is the one that the written file holds.
    @Test(arguments: [(WeightQuantization.int8, ElementType.q8_0), (.int4, .q4_k)])
    func loadingQuantisesTheSame(_ quantization: WeightQuantization, _ type: ElementType) async throws {
        for whole in [true, false] {
            let source = try source(whole: whole, tied: false)
            let path = source.path + ".quantised.gguf"
            defer { try? FileManager.default.removeItem(atPath: path) }
            _ = try ModelQuantizer(path: source.path, type: type).write(to: path)
            var options = EngineOptions()
            options.quantization = quantization
            let engine = try await Engine.load(source.path, options: options)
            let file = try await Engine.load(path)
            let tokens = (0..<40).map { Int32($0 * 37 % 250) }
            #expect(try await engine.score(tokens) == file.score(tokens))
            #expect(engine.model.weightBytes == file.model.weightBytes)
            #expect(try ModelFile(source.path, options: options).memory.weightBytes == file.model.weightBytes)
            await engine.stop()
            await file.stop()
        }
        let quantised = try source(.q8_0)
        var options = EngineOptions()
        options.quantization = quantization
        let error = await #expect(throws: EngineError.self) {
            _ = try await Engine.load(quantised.path, options: options)
        }
        #expect(error?.field == "quantization", "\(String(describing: error))")
        options.loadFormat = .dummy
        let dummy = try await Engine.load(quantised.path, options: options)
        #expect(dummy.model.matrixType == type)
        await dummy.stop()
    }

    /// Rows of 96 and 160 numbers are no whole super-blocks.
    @Test func shortRowsBecomeWhatFits() async throws {
        let source = try source(whole: false)
        let path = source.path + ".quantised.gguf"
        defer { try? FileManager.default.removeItem(atPath: path) }
        for (type, rest, output) in [(ElementType.q4_k, ElementType.q5_0, ElementType.q8_0), (.q6_k, .q8_0, .q8_0)] {
            let summary = try ModelQuantizer(path: source.path, type: type).write(to: path, overwrite: true)
            let file = try GGUFFile(path: path)
            #expect(file.contents.tensor(named: "blk.0.ffn_up.weight")?.elementType == rest)
            #expect(file.contents.tensor(named: "token_embd.weight")?.elementType == output)
            #expect(file.contents.tensor(named: "blk.0.attn_norm.weight")?.elementType == .float32)
            #expect(summary.tensors[type] == nil)
        }
    }

    @Test func whatCantBeDoneIsRefused() throws {
        let quantised = try source(.q8_0)
        #expect {
            _ = try ModelQuantizer(path: quantised.path, type: .q4_k)
        } throws: { "\($0)".contains("Q8_0 already") }
        let source = try source()
        #expect(throws: CheckpointError.self) {
            try ModelQuantizer(path: source.path, type: .q4_k).write(to: "/nowhere/model.gguf")
        }
        // Nothing is left of a file that could not be finished.
        let folder = URL(filePath: source.path).deletingLastPathComponent()
        #expect(throws: CheckpointError.self) {
            try ModelQuantizer(path: source.path, type: .q4_k).write(to: folder.path)
        }
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).count == 1)
    }

    /// A file that is there is replaced if that was asked for and it is a regular one, and never a file that is read.
    @Test func onlyWhatWasMeantIsReplaced() throws {
        let source = try source()
        let original = try Data(contentsOf: URL(filePath: source.path))
        let folder = URL(filePath: source.path).deletingLastPathComponent()
        func write(to name: String, overwrite: Bool) -> String? {
            let path = name.hasPrefix("/") ? name : folder.appending(path: name).path
            do {
                _ = try ModelQuantizer(path: source.path, type: .q4_k).write(to: path, overwrite: overwrite)
                return nil
            } catch { return "\(error)" }
        }
        let file = URL(filePath: source.path).lastPathComponent
        try FileManager.default.createSymbolicLink(
            atPath: folder.appending(path: "link").path, withDestinationPath: file)
        try FileManager.default.linkItem(atPath: source.path, toPath: folder.appending(path: "hard").path)
        for name in [file, "link", "hard", "../\(folder.lastPathComponent)/\(file)"] {
            #expect(write(to: name, overwrite: true)?.contains("is the file that is read") == true, "\(name)")
            #expect(write(to: name, overwrite: false) != nil, "\(name)")
        }
        #expect(try Data(contentsOf: URL(filePath: source.path)) == original)

        #expect(mkfifo(folder.appending(path: "pipe").path, 0o600) == 0)
        for name in ["pipe", "/dev/null"] {
            #expect(write(to: name, overwrite: true)?.contains("not a regular file") == true, "\(name)")
        }
        #expect(write(to: folder.path, overwrite: true)?.contains("is a folder") == true)
        #expect(write(to: "missing/file", overwrite: true)?.contains("no such folder") == true)

        #expect(write(to: "new", overwrite: false) == nil)
        #expect(write(to: "new", overwrite: false)?.contains("is there already") == true)
        // A link goes on leading to the file, which is replaced.
        try FileManager.default.createSymbolicLink(
            atPath: folder.appending(path: "alias").path, withDestinationPath: "new")
        #expect(write(to: "alias", overwrite: true) == nil)
        #expect(
            try FileManager.default.destinationOfSymbolicLink(atPath: folder.appending(path: "alias").path) == "new")
        let parts = try FileManager.default.contentsOfDirectory(atPath: folder.path).filter { $0.hasSuffix(".part") }
        #expect(parts.isEmpty)
    }
}
