// SPDX-License-Identifier: Apache-2.0

import Foundation
import Martlet
import MartletCheckpoints
import MartletCompute
import MartletTestSupport
import Testing

@Suite struct DummyModelTests {
    private static let config = """
        {"model_type": "llama", "hidden_size": 96, "intermediate_size": 160, "num_hidden_layers": 2,
         "num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 300,
         "max_position_embeddings": 128, "rms_norm_eps": 1e-5, "tie_word_embeddings": true, "dtype": "bfloat16"}
        """

    private func tokens(_ path: String, _ change: (inout EngineOptions) -> Void = { _ in }) throws -> [Int32] {
        let engine = try ManualEngine(path) {
            $0.loadFormat = .dummy
            change(&$0)
        }
        #expect(engine.model.name.contains("random weights"))
        let submission = try engine.submit(.random(20, answer: 30))
        engine.finish()
        let outcome = submission.read()
        #expect(outcome.end == .finished)
        #expect(outcome.logprobs[0].allSatisfy { Float(bitPattern: $0).isFinite })
        // Models of random weights may repeat one token.
        #expect(Set(outcome.logprobs[0]).count > 1)
        return outcome.tokens[0]
    }

    /// The same weights each time, with the config's file or its folder, and text in and out.
    @Test func aConfigIsEnough() throws {
        let file = try TemporaryFile(Array(Self.config.utf8), name: "config.json")
        let first = try tokens(file.path)
        #expect(first.count == 30 && Set(first).count > 1)
        #expect(try tokens(URL(filePath: file.path).deletingLastPathComponent().path) == first)
        #expect(try tokens(file.path) { $0.graphMode = .none } == first)
        let engine = try ManualEngine(file.path) { $0.loadFormat = .dummy }
        let tokenizer = engine.model.tokenizer
        #expect(engine.model.matrixType == .bfloat16 && engine.model.shape.vocabularySize == 300)
        #expect(
            tokenizer.vocabulary.count == 300 && tokenizer.decode(tokenizer.encode("Grüße, world!")) == "Grüße, world!")
        #expect(engine.model.chatTemplate == nil)
    }

    /// A GGUF file's shapes and types, and not its numbers.
    @Test(arguments: ElementType.allCases) func aFileLendsItsShapes(_ type: ElementType) throws {
        var model = TinyModel(of: type)
        (model.embeddingType, model.hasBias, model.hasOutput) = (type, true, true)
        let file = try model.write()
        let dummy = try tokens(file.path)
        let engine = try ManualEngine(file.path)
        let submission = try engine.submit(.random(20, answer: 30))
        engine.finish()
        #expect(submission.read().tokens[0] != dummy)
        var other = model
        other.seed = 99
        let otherFile = try other.write()
        #expect(try tokens(otherFile.path) == dummy)
    }

    @Test func smallVocabulariesWork() throws {
        let small = Self.config.replacing("\"vocab_size\": 300", with: "\"vocab_size\": 40")
        let file = try TemporaryFile(Array(small.utf8), name: "config.json")
        let engine = try ManualEngine(file.path) { $0.loadFormat = .dummy }
        #expect(engine.model.tokenizer.vocabulary.count == 40)
    }

    @Test(arguments: [
        ("", "can't be used"), ("[]", "can't be used"), ("{}", "lacks model_type"),
        ("{\"model_type\": \"mamba\"}", "mamba"),
        ("{\"model_type\": \"llama\"}", "max_position_embeddings"),
    ])
    func badConfigsAreExplained(_ text: String, _ expected: String) throws {
        let file = try TemporaryFile(Array(text.utf8), name: "config.json")
        let error = try #require(throws: CheckpointError.self) {
            try ManualEngine(file.path) { $0.loadFormat = .dummy }
        }
        #expect(error.message.contains(expected), "\(error)")
    }

    /// Numbers that would overflow or divide by zero, and features that would be computed wrongly.
    @Test(arguments: [
        ("hidden_size\": 96", "hidden_size\": 0", "hidden_size is 0"),
        ("hidden_size\": 96", "hidden_size\": -96", "hidden_size is -96"),
        ("hidden_size\": 96", "hidden_size\": 9223372036854775807", "the hidden size is"),
        ("hidden_size\": 96", "hidden_size\": 1e300", "can't be used"),
        ("attention_heads\": 6", "attention_heads\": 0", "num_attention_heads is 0"),
        ("key_value_heads\": 2", "key_value_heads\": 0", "0 KV heads"),
        ("key_value_heads\": 2", "key_value_heads\": 5", "5 KV heads"),
        ("head_dim\": 16", "head_dim\": 0", "head size is 0"),
        ("head_dim\": 16", "head_dim\": 100000", "head size is 100000"),
        ("vocab_size\": 300", "vocab_size\": 99999999999", "vocabulary size is"),
        ("hidden_layers\": 2", "hidden_layers\": 100000000", "number of layers is"),
        ("\"llama\"", "\"mamba\"", "mamba"),
        ("\"tie", "\"attention_bias\": true, \"tie", "biases"), ("\"tie", "\"mlp_bias\": true, \"tie", "biases"),
        ("\"tie", "\"sliding_window\": 64, \"tie", "sliding-window"),
        ("\"tie", "\"hidden_act\": \"gelu\", \"tie", "gelu"),
        ("\"tie", "\"rope_scaling\": {\"rope_type\": \"yarn\"}, \"tie", "lacks rope_scaling.factor"),
        ("\"tie", "\"rope_scaling\": {\"rope_type\": \"mrope\"}, \"tie", "mrope"),
        ("\"tie", "\"rope_scaling\": {\"rope_type\": \"linear\"}, \"tie", "lacks rope_scaling.factor"),
        ("\"tie", llama3(factor: "0", original: "64"), "rope_scaling.factor is 0"),
        ("\"tie", llama3(factor: "8", original: "0"), "original_max_position_embeddings is 0"),
        ("\"tie", "\"rope_theta\": -1, \"tie", "rope base is -1"),
        (
            "\"tie",
            "\"rotary_dim\": 9223372036854775807, \"rope_scaling\": {\"rope_type\": \"proportional\", \"partial_rotary_factor\": 0.5}, \"tie",
            "rotary dimensions"
        ),
        ("\"tie", "\"num_local_experts\": 8, \"tie", "num_experts_per_tok"),
        ("\"tie", "\"partial_rotary_factor\": 1.5, \"tie", "partial_rotary_factor is 1.5"),
        ("\"tie", "\"quantization_config\": {\"bits\": 4}, \"tie", "quantization_config"),
        ("\"bfloat16\"", "\"float64\"", "float64"),
        ("rms_norm_eps\": 1e-5", "rms_norm_eps\": -1", "epsilon is -1"),
    ])
    func hostileConfigsAreRefused(_ from: String, _ to: String, _ expected: String) throws {
        let text = Self.config.replacing(from, with: to)
        #expect(text != Self.config)
        let file = try TemporaryFile(Array(text.utf8), name: "config.json")
        let error = try #require(throws: CheckpointError.self) {
            try ManualEngine(file.path) { $0.loadFormat = .dummy }
        }
        #expect(error.message.contains(expected), "\(error)")
    }

    private static func llama3(factor: String, original: String) -> String {
        """
        "rope_scaling": {"rope_type": "llama3", "factor": \(factor), "low_freq_factor": 1, "high_freq_factor": 4,
        "original_max_position_embeddings": \(original)}, "tie
        """
    }

    @Test func scaledPositionsAreUnderstood() throws {
        for original in ["64", "9223372036854775807"] {
            let text = Self.config.replacing("\"tie", with: Self.llama3(factor: "8", original: original))
            let file = try TemporaryFile(Array(text.utf8), name: "config.json")
            #expect(try tokens(file.path).count == 30)
        }
    }

    /// A model that no memory holds is refused before its weights are made.
    @Test func modelsLargerThanMemoryAreRefused() throws {
        var text = Self.config.replacing("hidden_size\": 96", with: "hidden_size\": 131072")
        text = text.replacing("vocab_size\": 300", with: "vocab_size\": 4194304")
        text = text.replacing("layers\": 2", with: "layers\": 1024")
        let file = try TemporaryFile(Array(text.utf8), name: "config.json")
        let error = try #require(throws: DeviceError.self) { try ManualEngine(file.path) { $0.loadFormat = .dummy } }
        #expect(error.code == .outOfMemory)
    }

    /// A file that never ends, or is none, is not read.
    @Test func onlyRegularFilesAreRead() throws {
        let folder = URL(filePath: try TemporaryFile([], name: "x").path).deletingLastPathComponent()
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let link = folder.appending(path: "config.json")
        try FileManager.default.createSymbolicLink(atPath: link.path, withDestinationPath: "/dev/zero")
        let error = try #require(throws: CheckpointError.self) {
            try ManualEngine(folder.path) { $0.loadFormat = .dummy }
        }
        #expect(error.code == .notARegularFile)
        try FileManager.default.removeItem(at: folder)
    }

    @Test func missingFilesAreNamed() throws {
        let folder = try TemporaryFile([], name: "other.txt")
        for path in ["/nowhere", "/nowhere/config.json", URL(filePath: folder.path).deletingLastPathComponent().path] {
            #expect(throws: CheckpointError.self) { try ManualEngine(path) { $0.loadFormat = .dummy } }
        }
    }
}

@Suite struct LongContextTests {
    @Test func contextsBeyondTheModelsOwnNeedPermission() throws {
        let file = try TinyModel().write()
        let error = try #require(throws: EngineError.self) { try ManualEngine(file.path) { $0.maxModelLength = 400 } }
        #expect(error.field == "max_model_len" && error.message.contains("allow_long_max_model_len"))
        let log = Log()
        let engine = try ManualEngine(file.path) {
            ($0.maxModelLength, $0.allowsLongMaxModelLength, $0.maxNumSeqs) = (400, true, 2)
            $0.logger = log.logger
        }
        #expect(log.all.count == 1 && log.all[0].contains("trained for 256 positions"))
        #expect(engine.model.maxModelLength == 400)
        let submission = try engine.submit(.random(300, answer: 60))
        engine.finish()
        #expect(submission.read().tokens[0].count == 60)
        #expect(throws: EngineError.self) {
            try ManualEngine(file.path) { ($0.maxModelLength, $0.allowsLongMaxModelLength) = (1 << 25, true) }
        }
    }
}

@Suite struct ProgramReportTests {
    @Test func programsAndTheirLoweringAreListed() throws {
        let file = try TinyModel().write()
        let report = try ProgramReport(path: file.path)
        #expect(report.entries.map(\.name) == ["body", "head"])
        #expect(report.entries.map(\.kernels.count) == [2 + 9 * TinyModel().layers - 5, 2 + 5 + 3])
        #expect(report.wakeUps == [.none: 25, .piecewise: 5, .full: 1])
        let body = report.entries[0]
        #expect(
            body.kernels[3].hasPrefix("queryKeyValue[tokens, 160] = linear(attn_norm, blk.0.attn_q.weight | blk.0"))
        #expect(body.listing.phases[0].name == "embed + rotary angles + norm + quantize")
        #expect(body.listing.phases[0].kernels == 0...3)
        #expect(body.listing.phases.map(\.name).contains("linear + gated activation + quantize activated"))
        // Heads of 16 are no whole panels.
        #expect(body.listing.phases.map(\.name).contains("prepare heads and write cache"))
        // Each kernel is in some phase, in order.
        let covered = Set(body.listing.phases.flatMap(\.kernels))
        #expect(covered == Set(body.kernels.indices))
        let starts = body.listing.phases.map(\.kernels.lowerBound)
        #expect(starts == starts.sorted())
        // Of many tokens a barrier is left on each side of attention, and of what folds it.
        #expect(body.listing.bands.count == 3 * TinyModel().layers)
        #expect(Set(body.listing.bands.flatMap(\.kernels)) == covered)
        // The head's rows are few.
        #expect(report.entries[1].listing.bands.map(\.name) == report.entries[1].listing.phases.map(\.name))
    }

    /// Heads of whole panels and pairs of blocks are prepared, and copied, by the thread that has computed them.
    @Test func wholeHeadsAreOnePhaseWithWhatFollows() throws {
        var model = TinyModel()
        model.headSize = 64
        let file = try model.write()
        let names = try ProgramReport(path: file.path).entries[0].listing.phases.map(\.name)
        #expect(
            names.prefix(5) == [
                "embed + rotary angles + norm + quantize", "linear queryKeyValue + prepare heads and write cache",
                "attention + quantize", "merge attention + quantize", "linear hidden",
            ])
    }
}
