// SPDX-License-Identifier: Apache-2.0

import Foundation
import MartletBench
import MartletCPU
import MartletCheckpoints
import MartletTestSupport
import Testing

/// Cases that vLLM's own Triton kernels computed, in Triton's interpreter; `ref64` is the exact result.
@Suite struct AttentionCheckTests {
    private static let directory =
        Bundle.module.resourceURL?.appending(path: "Fixtures/attention") ?? URL(filePath: "/")

    @Test(arguments: InstructionSet.available) func passesTheReferencesCases(_ instructionSet: InstructionSet) throws {
        let check = try AttentionCheck(directory: Self.directory)
        let device = try CPUDevice(threads: 2, instructionSet: instructionSet)
        #expect(check.cases.count == 18)
        for (name, description) in check.cases {
            let outcome = try check.run(name, description, on: device)
            #expect(outcome.failures == [], "\(name)")
            #expect(outcome.launchesAgree, "\(name)")
            #expect(outcome.reference != nil && outcome.unknownParameters == [], "\(name)")
        }
    }

    /// The check itself must fail where the result is wrong: here the scale is.
    @Test func noticesAWrongResult() throws {
        let outcome = try Self.run(changing: "\"scale\": 0.125", to: "\"scale\": 0.13", in: "mixed_h5_1_d64")
        #expect(outcome.failures.count == 4)
        #expect(!outcome.passes)
    }

    /// Runs with a known defect set no bar, whatever their name has between its words.
    @Test func defectiveRunsSetNoBar() throws {
        let check = try AttentionCheck(directory: Self.directory)
        let description = try #require(check.cases.first { $0.name == "pr_split_grid_bug_g4" }?.description)
        #expect(description.runs.count == 2 && description.knownDefects.keys.first == "pr_tip_split")
        let device = try CPUDevice(threads: 1)
        let reference = try check.run("pr_split_grid_bug_g4", description, on: device).reference
        #expect(reference?.rootMeanSquare == description.runs["out_v013_2d"]?.rootMeanSquare)
    }

    @Test func namesParametersItDoesNotKnow() throws {
        let outcome = try Self.run(
            changing: "\"scale\": 0.125", to: "\"scale\": 0.125, \"swirl\": 3", in: "mixed_h5_1_d64")
        #expect(outcome.passes && outcome.unknownParameters == ["swirl"])
    }

    @Test func refusesAManifestWithoutCases() throws {
        let folder = try Self.copy { "{}" + $0.prefix(0) }
        #expect(throws: CheckpointError.self) { try AttentionCheck(directory: folder.url) }
        #expect(throws: CheckpointError.self) { try AttentionCheck(directory: URL(filePath: "/nowhere")) }
    }

    private static func run(
        changing text: String, to replacement: String, in name: String
    ) throws -> AttentionCheck.Outcome {
        let folder = try copy { $0.replacingOccurrences(of: text, with: replacement) }
        let check = try AttentionCheck(directory: folder.url)
        let description = try #require(check.cases.first { $0.name == name }?.description)
        return try check.run(name, description, on: CPUDevice(threads: 1))
    }

    private struct Folder: ~Copyable {
        let url: URL
        deinit { try? FileManager.default.removeItem(at: url) }
    }

    /// The fixtures with another manifest.
    private static func copy(_ change: (String) -> String) throws -> Folder {
        let folder = Folder(url: FileManager.default.temporaryDirectory.appending(path: "martlet-\(UUID().uuidString)"))
        try FileManager.default.copyItem(at: directory, to: folder.url)
        let manifest = folder.url.appending(path: "manifest.json")
        let text = try String(contentsOf: manifest, encoding: .utf8)
        try FileManager.default.removeItem(at: manifest)
        try change(text).write(to: manifest, atomically: true, encoding: .utf8)
        return folder
    }

    /// A case of one token, all zeros, with some tensors replaced.
    private static func outcome(_ changes: [String: Tensor]) throws -> AttentionCheck.Outcome {
        var tensors: [String: Tensor] = [
            "q": Tensor("F32", [1, 1, 32], Array(repeating: 0, count: 128)),
            "k": Tensor("F32", [1, 16, 1, 32], Array(repeating: 0, count: 2048)),
            "v": Tensor("F32", [1, 16, 1, 32], Array(repeating: 0, count: 2048)),
            "ref64": Tensor("F64", [1, 1, 32], Array(repeating: 0, count: 256)),
            "seq_lens": Tensor("I32", [1], GGUFWriter.bytes(Int32(1))),
            "cu_seqlens_q": Tensor("I32", [2], GGUFWriter.bytes(Int32(0)) + GGUFWriter.bytes(Int32(1))),
            "block_table": Tensor("I32", [1, 1], GGUFWriter.bytes(Int32(0))),
        ]
        tensors.merge(changes) { $1 }
        let folder = Folder(url: FileManager.default.temporaryDirectory.appending(path: "martlet-\(UUID().uuidString)"))
        try FileManager.default.createDirectory(at: folder.url, withIntermediateDirectories: true)
        try Data(Tensor.file(tensors)).write(to: folder.url.appending(path: "a.safetensors"))
        let manifest = #"{"cases":{"a":{"file":"a.safetensors","params":{"scale":0.1,"out_dtype":"torch.float32"}}}}"#
        try Data(manifest.utf8).write(to: folder.url.appending(path: "manifest.json"))
        let check = try AttentionCheck(directory: folder.url)
        return try check.run("a", check.cases[0].description, on: CPUDevice(threads: 1))
    }

    private struct Tensor {
        let type: String
        let shape: [Int]
        let bytes: [UInt8]

        init(_ type: String, _ shape: [Int], _ bytes: [UInt8]) {
            (self.type, self.shape, self.bytes) = (type, shape, bytes)
        }

        static func file(_ tensors: [String: Tensor]) -> [UInt8] {
            var (entries, data): ([String], [UInt8]) = ([], [])
            for (name, tensor) in tensors.sorted(by: { $0.key < $1.key }) {
                let end = data.count + tensor.bytes.count
                entries.append(
                    "\"\(name)\":{\"dtype\":\"\(tensor.type)\",\"shape\":\(tensor.shape),\"data_offsets\":[\(data.count),\(end)]}"
                )
                data += tensor.bytes
            }
            let header = "{" + entries.joined(separator: ",") + "}"
            return GGUFWriter.bytes(UInt64(header.utf8.count)) + Array(header.utf8) + data
        }
    }

    /// Numbers that don't fit each other, or that can't be calculated with: an error, never a trap.
    @Test func refusesHostileTensors() throws {
        #expect(try Self.outcome([:]).passes)
        func longs(_ values: [Int64]) -> [UInt8] { values.flatMap { GGUFWriter.bytes($0) } }
        let hostile: [[String: Tensor]] = [
            [
                "block_table": Tensor("I32", [0, 1 << 62], []),
                "seq_lens": Tensor("I32", [2], Array(repeating: 0, count: 8)),
            ],
            ["cu_seqlens_q": Tensor("I64", [2], longs([.min, 1]))],
            ["cu_seqlens_q": Tensor("I64", [2], longs([0, .max]))],
            [
                "cu_seqlens_q": Tensor("I64", [4], longs([0, 1, .min, 1])),
                "seq_lens": Tensor("I64", [3], longs([1, 1, 1])),
            ],
            ["seq_lens": Tensor("I64", [1], longs([1 << 31]))],
            ["seq_lens": Tensor("I64", [1], longs([.max]))],
            ["seq_lens": Tensor("I64", [1], longs([-1]))],
            ["seq_lens": Tensor("I64", [1], longs([17]))],
            ["block_table": Tensor("I64", [1, 1], longs([1]))],
            ["block_table": Tensor("I64", [1, 1], longs([-1]))],
            ["mm_prefix_range": Tensor("I64", [1, 1, 2], longs([0, .max]))],
            ["mm_prefix_range": Tensor("I64", [3], longs([0, 1, 2]))],
            ["qq_bias": Tensor("F32", [1], Array(repeating: 0, count: 4))],
            ["sinks": Tensor("F32", [2], Array(repeating: 0, count: 8))],
            ["alibi_slopes": Tensor("F32", [2], Array(repeating: 0, count: 8))],
            ["output_scale": Tensor("F32", [1], Array(repeating: 0, count: 4))],
            ["ref64": Tensor("F64", [1, 1, 32], Array(repeating: 0xff, count: 256))],
            ["q": Tensor("I32", [1, 1, 32], Array(repeating: 0, count: 128))],
            ["q": Tensor("F32", [1, 1, 16], Array(repeating: 0, count: 64))],
        ]
        for changes in hostile { #expect(throws: (any Error).self, "\(changes.keys)") { try Self.outcome(changes) } }
        // NaN inputs are computed, and fail.
        let notANumber = Tensor("F32", [1, 16, 1, 32], Array(repeating: 0xff, count: 2048))
        #expect(try !Self.outcome(["v": notANumber]).passes)
    }
}
