// SPDX-License-Identifier: Apache-2.0

import Martlet
import MartletCheckpoints
import MartletTestSupport
import Testing

@Suite struct ModelReportTests {
    private func shape(_ header: CheckpointHeader) throws -> ModelReport.Shape? {
        let file = try TemporaryFile(header.writer.file)
        return try ModelReport(of: GGUFFile(path: file.path)).shape
    }

    /// Also of files that can't be loaded: these have no tokenizer.
    @Test(arguments: CheckpointHeader.all) func everyLayerIsShownOnce(_ header: CheckpointHeader) throws {
        guard let shape = try shape(header) else {
            #expect(!header.isSupported)
            return
        }
        #expect(shape.kinds.flatMap(\.layers).sorted() == Array(0..<shape.layers))
    }

    @Test func layersThatAreAlikeStandTogether() throws {
        let header = try #require(CheckpointHeader.all.first { $0.name == "gemma3" })
        let shape = try #require(try shape(header))
        #expect(shape.layers == 6 && shape.hiddenSize == 64 && shape.vocabularySize == 672 && shape.tiesOutput)
        #expect(shape.kinds.map(\.numbers) == ["0-4", "5"])
        #expect(
            shape.kinds.map(\.attention) == [
                "4 heads over 1 of 16, window of 12, 16 turn by halves, base 10000.0, norms of q and k",
                "4 heads over 1 of 16, 16 turn by halves, base 1000000.0, norms of q and k",
            ])
        #expect(shape.kinds.allSatisfy { $0.feedForward == "96, gated by geluTanh" })
    }

    @Test func expertsAreShown() throws {
        let header = try #require(CheckpointHeader.all.first { $0.name == "gpt_oss" })
        let shape = try #require(try shape(header))
        #expect(shape.kinds.allSatisfy { $0.feedForward.contains("experts of") && $0.attention.contains("sinks") })
    }
}
