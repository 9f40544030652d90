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
}
