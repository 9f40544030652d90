// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Martlet
import MartletAttention
import MartletBench
import MartletCompute

/// The ways of running a model that a benchmark holds against each other.
struct VariantOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            """
            How steps are run: NONE, PIECEWISE, FULL, FULL_DECODE_ONLY or FULL_AND_PIECEWISE. A list beside a list of as \
            many --attention-launch gives pairs; otherwise every mode goes with every launch. FULL by default.
            """, valueName: "modes"))
    var graphMode: ArgumentList<GraphMode>?

    @Option(
        help: ArgumentHelp(
            "Attention kernels a step: auto, unified is one, split one for prefills and one for decodes.",
            valueName: "launches"))
    var attentionLaunch = ArgumentList<AttentionLaunch>([.auto])

    @OptionGroup var graphs: GraphOptions

    @Option(help: "A file for a plot of what was measured, as SVG.", completion: .file())
    var plot: String?

    @Option(help: "A file for the figures, as JSON.", completion: .file())
    var outputJson: String?

    func validate() throws { try graphs.requireOneMode(beside: graphMode?.values ?? []) }

    var variants: [EngineVariant] {
        let modes = graphs.mode.map { [$0] } ?? graphMode?.values ?? [EngineOptions().graphMode]
        return EngineVariant.all(modes, attentionLaunch.values)
    }

    /// Loads the model once a variant.
    func load(_ model: ModelOptions, _ change: (inout EngineOptions) -> Void) async throws -> VariantRun {
        for path in [plot, outputJson].compactMap(\.self) { try Terminal.requireWritable(path) }
        let variants = variants
        guard model.trace == nil || variants.count == 1 else {
            throw ValidationError("--trace is of one engine: give one --graph-mode and one --attention-launch")
        }
        var runs: [EngineRun] = []
        for variant in variants {
            var options = try model.engineOptions()
            options.graphMode = variant.graphMode
            options.attentionLaunch = variant.attentionLaunch
            options.graphCaptureSizes = graphs.captureSizes
            change(&options)
            runs.append(try await model.load(options))
        }
        let engines = VariantEngines(zip(variants, runs).map { ($0, $1.engine) })
        return VariantRun(engines: engines, runs: runs)
    }

    func write(_ report: LatencyReport, _ plot: LinePlot) throws {
        if let outputJson { try Terminal.writeJSON(report, to: outputJson) }
        if let path = self.plot { try Terminal.writeFile(plot.svg, to: path) }
    }
}

/// Engines for the time of a command.
struct VariantRun {
    let engines: VariantEngines
    let runs: [EngineRun]

    func finish() async throws { for run in runs { try await run.finish() } }
}

/// Values with commas between them.
struct ArgumentList<Element: ExpressibleByArgument & Sendable>: ExpressibleByArgument {
    let values: [Element]

    init(_ values: [Element]) { self.values = values }

    init?(argument: String) {
        let parts = argument.split(separator: ",", omittingEmptySubsequences: false).map {
            Element(argument: String($0))
        }
        values = parts.compactMap(\.self)
        guard !values.isEmpty, values.count == parts.count, values.count <= 64 else { return nil }
    }

    var defaultValueDescription: String { values.map(\.defaultValueDescription).joined(separator: ",") }
}

extension PrefixState: ExpressibleByArgument {}

extension [VariantResult] {
    /// Medians with their spread, each beside the first variant's of its length.
    var table: Table {
        var table = Table()
        table.add("tokens", "prefix", "variant", "median", "least to most", "of the first")
        for result in self {
            let first = self.first { $0.length == result.length && $0.prefix == result.prefix } ?? result
            table.add(
                "\(result.length)", result.prefix?.rawValue ?? "-", result.variant.name,
                result.timings.median.formattedSeconds,
                "\(result.timings.minimum.formattedSeconds) to \(result.timings.maximum.formattedSeconds)",
                String(format: "%.3f", result.timings.median / first.timings.median))
        }
        return table
    }

    /// A panel for each prefix state, a line for each variant.
    func plot(title: String, xLabel: String) -> LinePlot {
        var states: [PrefixState?] = []
        for result in self where !states.contains(result.prefix) { states.append(result.prefix) }
        let panels = states.map { state in
            let results = filter { $0.prefix == state }
            var variants: [EngineVariant] = []
            for result in results where !variants.contains(result.variant) { variants.append(result.variant) }
            let series = variants.map { variant in
                LinePlot.Series(
                    name: variant.name,
                    points: results.filter { $0.variant == variant }.map {
                        LinePlot.Point(
                            x: Double($0.length), y: $0.timings.median,
                            range: $0.timings.minimum...$0.timings.maximum)
                    })
            }
            return LinePlot.Panel(title: state.map { "\($0.rawValue) prefix" } ?? "", series: series)
        }
        return LinePlot(title: title, xLabel: xLabel, yLabel: "seconds (median; bar: least to most)", panels: panels)
    }
}

extension Double {
    /// Seconds for people.
    fileprivate var formattedSeconds: String {
        self < 1 ? String(format: "%.1f ms", self * 1e3) : String(format: "%.3f s", self)
    }
}
