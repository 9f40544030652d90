// SPDX-License-Identifier: Apache-2.0

import Foundation
import Martlet
import MartletBench
import MartletTestSupport
import Testing

import struct MartletBench.LinePlot

@Suite struct VariantTests {
    private func engines(_ variants: [EngineVariant], _ change: (inout EngineOptions) -> Void = { _ in }) async throws
        -> (
            VariantEngines, TemporaryFile
        )
    {
        let file = try TinyModel().write()
        var engines: [(EngineVariant, Engine)] = []
        for variant in variants {
            var options = EngineOptions()
            (options.threads, options.graphMode, options.attentionLaunch) = (
                1, variant.graphMode, variant.attentionLaunch
            )
            change(&options)
            engines.append((variant, try await Engine.load(file.path, options: options)))
        }
        return (VariantEngines(engines), file)
    }

    private static let variants = [
        EngineVariant(graphMode: .full, attentionLaunch: .split),
        EngineVariant(graphMode: .none, attentionLaunch: .unified),
    ]

    @Test func latencyRunsEachVariantAsOftenAsAsked() async throws {
        let (engines, _) = try await engines(Self.variants) { $0.enablePrefixCaching = false }
        var progress: [Double] = []
        let results = try await LatencyBenchmark(batchSize: 3, outputLength: 4).run(
            on: engines, inputLength: 20, warmup: 1, iterations: 2
        ) { progress.append($0) }
        #expect(results.map(\.variant) == Self.variants && results.allSatisfy { $0.timings.seconds.count == 2 })
        #expect(progress.count == 6 && progress.last == 1)
        let statistics = engines.engines.map(\.engine.statistics)
        for statistics in statistics {
            #expect(statistics.generatedTokens == 3 * 3 * 4 && statistics.promptTokens == 3 * 3 * 20)
            #expect(statistics.prefixCacheHits == 0)
        }
        #expect(statistics[0].fullGraphSteps == statistics[0].steps && statistics[1].fullGraphSteps == 0)
    }

    @Test func warmRunsFindTheLongPromptAndColdOnesDoNot() async throws {
        let (engines, _) = try await engines(Self.variants) { $0.maxNumSeqs = 2 }
        let benchmark = MixedBenchmark(outputLength: 6, shortCount: 5, shortLength: 3)
        let engine = engines.engines[0].engine
        for length in [64, 100] {
            let before = engine.statistics
            let cold = try await benchmark.run(on: engines, longLength: length, prefix: .cold, warmup: 0, iterations: 3)
            #expect(engine.statistics.prefixCacheHits == before.prefixCacheHits)
            #expect(engine.statistics.generatedTokens - before.generatedTokens == 3 * (6 + 5))
            #expect(cold.allSatisfy { $0.prefix == .cold && $0.length == length && $0.timings.seconds.count == 3 })
            // The last cold run's prompt: no warm-up reads it again.
            let warm = try await benchmark.run(on: engines, longLength: length, prefix: .warm, warmup: 0, iterations: 2)
            #expect(engine.statistics.prefixCacheHits - before.prefixCacheHits == 2 * ((length - 1) / 16 * 16))
            #expect(warm.count == 2)
        }
    }

    /// One entry is vLLM's own file; several are a list of such.
    @Test func reportsHaveVLLMsKeys() throws {
        var timings = Timings()
        for seconds in [4.0, 1, 2, 3] { timings.append(seconds) }
        let result = VariantResult(variant: Self.variants[0], length: 20, prefix: .warm, timings: timings)
        let entry = LatencyEntry(result, outputLength: 4, batchSize: 3)
        func decoded(_ report: LatencyReport) throws -> [String: Any] {
            try #require(try JSONSerialization.jsonObject(with: JSONEncoder().encode(report)) as? [String: Any])
        }
        let one = try decoded(LatencyReport([entry]))
        #expect(one["avg_latency"] as? Double == 2.5)
        #expect(one["latencies"] as? [Double] == [4, 1, 2, 3])
        let percentiles = try #require(one["percentiles"] as? [String: Double])
        #expect(percentiles["50"] == 2.5 && percentiles["10"] == 1.3 && percentiles["99"] == 3.97)
        #expect(Set(percentiles.keys) == ["10", "25", "50", "75", "90", "99"])
        #expect(one["cudagraph_mode"] as? String == "FULL" && one["prefix"] as? String == "warm")
        #expect((try decoded(LatencyReport([entry, entry]))["results"] as? [Any])?.count == 2)
    }

    @Test func quantilesLieBetween() {
        var timings = Timings()
        #expect(timings.median.isNaN)
        timings.append(5)
        #expect(timings.median == 5 && timings.quantile(0.99) == 5)
        for seconds in [1.0, 9] { timings.append(seconds) }
        #expect(timings.median == 5 && timings.quantile(0.75) == 7 && timings.quantile(1) == 9)
    }
}

@Suite struct LinePlotTests {
    @Test func plotsAreReadable() throws {
        let series = ["a <b> & c", "second"].enumerated().map { index, name in
            LinePlot.Series(
                name: name,
                points: [4096.0, 8192, 500].map { x in
                    let y = x / 1000 + Double(index)
                    return LinePlot.Point(x: x, y: y, range: y * 0.9...y * 1.1)
                })
        }
        let panels = ["cold", "warm"].map { LinePlot.Panel(title: $0, series: series) }
        let plot = LinePlot(title: "Title", xLabel: "tokens", yLabel: "seconds", panels: panels)
        let svg = plot.svg
        for text in [
            "Title", "tokens", "seconds", "cold", "warm", "a &lt;b&gt; &amp; c", "4K", "8K", ">500<", "second",
        ] {
            #expect(svg.contains(text), "\(text)")
        }
        #expect(svg.hasPrefix("<svg ") && svg.hasSuffix("</svg>\n") && !svg.contains("nan"))
        #expect(svg.components(separatedBy: "<polyline").count == 5)
        #expect(svg.components(separatedBy: "<g ").count == svg.components(separatedBy: "</g>").count)
        for empty in [[], [LinePlot.Panel(title: "none", series: [])]] {
            #expect(LinePlot(title: "", xLabel: "", yLabel: "", panels: empty).svg.hasSuffix("</svg>\n"))
        }
    }

    @Test func ticksAreRoundAndCoverAll() {
        for most in [0.0013, 0.07, 0.3, 1, 3.1, 7, 9.99, 42, 163, 1000, 8_765_432] {
            let ticks = LinePlot.ticks(upTo: most)
            #expect(ticks.first == 0 && (ticks.last ?? 0) >= most && (4...9).contains(ticks.count), "\(most): \(ticks)")
        }
        #expect(LinePlot.ticks(upTo: .nan) == [0, 1] && LinePlot.ticks(upTo: 0) == [0, 1])
    }
}
