// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Martlet
import MartletAttention
import MartletBench
import MartletCLI
import MartletCompute
import Testing

@Suite struct ExecutionOptionsTests {
    private func options(_ arguments: String...) throws -> EngineOptions {
        var options = EngineOptions()
        try ExecutionOptions.parse(arguments).apply(to: &options)
        return options
    }

    private func failure(_ arguments: String...) -> String {
        do {
            _ = try ExecutionOptions.parse(arguments)
            return ""
        } catch { return ExecutionOptions.message(for: error) }
    }

    @Test func everySpellingMeansTheSame() throws {
        #expect(try options().graphMode == .full)
        for mode in GraphMode.allCases {
            let name = mode.rawValue
            #expect(try options("--graph-mode", name.lowercased()).graphMode == mode)
            #expect(try options("--compilation-config", #"{"cudagraph_mode": "\#(name)"}"#).graphMode == mode)
            #expect(try options("--compilation-config.cudagraph_mode", name).graphMode == mode)
            #expect(try options("--graph-mode", name, "--enforce-eager").graphMode == .none)
        }
        #expect(try options("--compilation-config", #"{"cudagraph_mode": null}"#).graphMode == .full)
        #expect(try options("--compilation-config", "{}").graphCaptureSizes == nil)
        let json = try options("--compilation-config", #"{"cudagraph_capture_sizes": [1, 2, 4]}"#)
        #expect(json.graphCaptureSizes == [1, 2, 4] && json.graphMode == .full)
        for sizes in ["1,2,4", "[1, 2, 4]", "[1,2,4]"] {
            let dotted = try options("--compilation-config.cudagraph_capture_sizes", sizes)
            #expect(dotted.graphCaptureSizes == [1, 2, 4])
        }
        #expect(try options("--attention-launch", "unified").attentionLaunch == .unified)
    }

    @Test func whatHasNoMeaningIsNamed() {
        let unknown = failure("--compilation-config", #"{"level": 3, "cudagraph_mode": "FULL", "use_inductor": true}"#)
        #expect(unknown.contains("level, use_inductor have no meaning") && unknown.contains("cudagraph_capture_sizes"))
        #expect(failure("--compilation-config.level", "3").contains("--compilation-config.level"))
        #expect(failure("--compilation-config", #"{"cudagraph_mode": "SOME"}"#).contains("FULL_AND_PIECEWISE"))
        #expect(failure("--compilation-config", #"{"cudagraph_mode": 2}"#).contains("FULL_AND_PIECEWISE"))
        for text in ["", "[]", "FULL", "{", "null", String(repeating: "[", count: 100_000)] {
            #expect(failure("--compilation-config", text).contains("JSON object"), "\(text.prefix(9))")
        }
        for sizes in ["[1.5]", #"["a"]"#, "3", "[true]", "{}", "[1e99]"] {
            let text = failure("--compilation-config", #"{"cudagraph_capture_sizes": \#(sizes)}"#)
            #expect(text.contains("cudagraph_capture_sizes must be"), "\(sizes)")
        }
        for sizes in ["", "[]", "1,,2", "1 2", "x", "[1", "99999999999999999999"] {
            #expect(!failure("--compilation-config.cudagraph_capture_sizes", sizes).isEmpty, "\(sizes)")
        }
        #expect(failure("--graph-mode", "SOME").contains("SOME"))
    }

    @Test func contradictionsAreRefused() {
        let config = #"{"cudagraph_mode": "FULL"}"#
        #expect(failure("--graph-mode", "NONE", "--compilation-config", config).contains("different modes"))
        #expect(
            failure("--compilation-config.cudagraph_mode", "NONE", "--compilation-config", config).contains("different")
        )
        #expect(failure("--graph-mode", "FULL", "--compilation-config", config) == "")
        #expect(
            failure(
                "--compilation-config.cudagraph_capture_sizes", "1", "--compilation-config",
                #"{"cudagraph_capture_sizes": [2]}"#
            ).contains("different capture sizes"))
    }

    @Test func benchmarksTakeLists() throws {
        func variants(_ arguments: String...) throws -> [String] {
            try VariantOptions.parse(arguments).variants.map(\.name)
        }
        #expect(try variants() == ["FULL split"])
        #expect(
            try variants("--graph-mode", "FULL,NONE", "--attention-launch", "unified,split") == [
                "FULL unified", "FULL split", "NONE unified", "NONE split",
            ])
        #expect(
            try variants("--graph-mode", "piecewise:unified,FULL,FULL:unified", "--attention-launch", "split,auto") == [
                "PIECEWISE unified", "FULL split", "FULL unified",
            ])
        #expect(try variants("--graph-mode", "FULL,FULL:auto") == ["FULL split"])
        #expect(try variants("--graph-mode", "FULL", "--enforce-eager") == ["NONE unified"])
        for bad in ["", "FULL,", "FULL,SOME", ",", "FULL:", "FULL:some", ":split"] {
            #expect(throws: (any Error).self) { try VariantOptions.parse(["--graph-mode", bad]) }
        }
    }
}

@Suite struct RepeatedLinesTests {
    @Test func layersStandOnce() {
        let layer = ["norm blk.0.a", "linear blk.0.b", "attention layer 0)"]
        let lines =
            ["embed"]
            + (0..<12).flatMap { index in layer.map { $0.replacing("0", with: "\(index)") } } + ["norm out", "end"]
        let stretches = RepeatedLines.stretches(of: lines.map(RepeatedLines.key))
        #expect(
            stretches == [
                RepeatedLines.Stretch(lines: 0..<1, repeats: 0), RepeatedLines.Stretch(lines: 1..<4, repeats: 11),
                RepeatedLines.Stretch(lines: 37..<38, repeats: 0), RepeatedLines.Stretch(lines: 38..<39, repeats: 0),
            ])
        #expect(RepeatedLines.stretches(of: []).isEmpty)
        #expect(RepeatedLines.key("a blk.12.x layer 3 [4]") == "a blk..x layer  [4]")
    }
}
