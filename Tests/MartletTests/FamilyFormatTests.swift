// SPDX-License-Identifier: Apache-2.0

import Foundation
import Martlet
import MartletCheckpoints
import MartletCompute
import MartletTestSupport
import Testing

/// Every family with matrices of every format, loaded and computed.
@Suite struct FamilyFormatTests {
    static let supported = CheckpointHeader.all.filter(\.isSupported)

    /// A model answers as the same model in F32 does: the difference is what activations lose beside each.
    @Test(arguments: supported) func formatsAnswerAsTheirFloats(_ header: CheckpointHeader) throws {
        var covered: Set<ElementType> = []
        var rotation = 0
        while covered.count < ElementType.allCases.count, rotation < ElementType.allCases.count {
            let model = Self.large(header).quantized(
                in: ElementType.allCases.filter { !covered.contains($0) }, first: rotation)
            covered.formUnion(model.tensors.map(\.type))
            rotation += 1
            let writer = model.randomModel()
            let file = try TemporaryFile(writer.file)
            let floats = try TemporaryFile(try Self.floats(of: GGUFFile(path: file.path), metadata: writer.pairs))
            let (scores, expected) = (try Self.scores(file.path), try Self.scores(floats.path))
            let differences = zip(scores, expected).map { abs($0 - $1) }
            let mean = differences.reduce(0, +) / Float(differences.count)
            let spread = (expected.max() ?? 0) - (expected.min() ?? 0)
            #expect(mean < 1e-3 * spread, "mean |Δ logprob| \(mean) of \(spread)")
        }
        #expect(covered == Set(ElementType.allCases))
    }

    /// The table in Docs/Models.md is this one.
    @Test func theTableIsWritten() throws {
        let formats = ElementType.allCases.map(\.rawValue)
        var lines = [
            "| |" + formats.map { " \($0) |" }.joined(), "|---|" + formats.map { _ in ":-:|" }.joined(),
        ]
        for header in CheckpointHeader.all {
            let cell = header.isSupported ? " ✓ |" : " – |"
            lines.append("| \(header.name) |" + formats.map { _ in cell }.joined())
        }
        let path = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../Docs/Models.md")
        let document = try String(contentsOf: path, encoding: .utf8)
        #expect(
            document.contains(lines.joined(separator: "\n")), "Docs/Models.md lacks:\n\(lines.joined(separator: "\n"))")
    }

    /// With rows of 256 numbers or more.
    private static func large(_ header: CheckpointHeader) -> CheckpointHeader {
        let columns = header.tensors.first { $0.name == "token_embd.weight" }?.dimensions[0] ?? 64
        return header.scaled(by: columns % 64 == 0 ? 4 : 8)
    }

    private static func scores(_ path: String) throws -> [Float] {
        let engine = try ManualEngine(path) { $0.activations = .int16 }
        let submission = try engine.submit(.random(40, seed: 5, answer: 1) { $0.promptLogprobs = 0 })
        engine.finish()
        return submission.read().scores.map(\.logprob)
    }

    /// The same model in F32.
    private static func floats(of file: GGUFFile, metadata: [[UInt8]]) throws -> [UInt8] {
        var writer = GGUFWriter()
        for pair in metadata { writer.add(raw: pair) }
        for tensor in file.contents.tensors {
            let numbers = file.hostTensor(tensor).dequantized()
            writer.add(
                tensor: tensor.name, dimensions: tensor.dimensions.map { UInt64($0) }, type: 0,
                data: numbers.withUnsafeBytes { Array($0) })
        }
        return writer.file
    }
}
