// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Martlet
import MartletAttention
package import MartletBench
import MartletCompute
import OrderedCollections

/// The ways of running a model that a benchmark holds against each other.
package struct VariantOptions: ParsableArguments {
    package init() {}

    @Option(
        help: ArgumentHelp(
            """
            How steps are run: NONE, PIECEWISE, FULL, FULL_DECODE_ONLY or FULL_AND_PIECEWISE, or a list of these; each is \
            measured with every --attention-launch, or with its own, as in FULL:split. Each of these variants is an \
            engine with weights and a KV cache of its own. FULL by default.
            """, valueName: "modes"))
    var graphMode: ArgumentList<ModeAndLaunch>?

    @Option(
        help: ArgumentHelp(
            "Attention kernels a step, or a list: unified is one, split one for prefills and one for decodes, auto is split in graph mode FULL and unified in others.",
            valueName: "launches"))
    var attentionLaunch = ArgumentList<AttentionLaunch>([.auto])

    @OptionGroup var graphs: GraphOptions

    @Option(help: "A file for a plot of what was measured, as SVG.", completion: .file())
    var plot: String?

    @Option(
        help:
            "A file for the figures, as JSON: vLLM's object, or a list of such under results where there are several.",
        completion: .file())
    var outputJson: String?

    func validate() throws {
        if let plot, plot == outputJson { throw ValidationError("--plot and --output-json name the same file") }
        try graphs.requireOneMode(beside: graphMode?.values.map(\.mode) ?? [])
    }

    package var variants: [EngineVariant] {
        let modes =
            graphs.mode.map { [ModeAndLaunch(mode: $0)] } ?? graphMode?.values
            ?? [ModeAndLaunch(mode: EngineOptions().graphMode)]
        return Array(
            OrderedSet(
                modes.flatMap { entry in
                    (entry.launch.map { [$0] } ?? attentionLaunch.values).map {
                        // What auto comes to, so that tables say what was measured.
                        let splits = $0.splits(isFullGraph: entry.mode == .full)
                        return EngineVariant(graphMode: entry.mode, attentionLaunch: splits ? .split : .unified)
                    }
                }))
    }

    /// Loads the model once a variant.
    func load(_ model: ModelOptions, _ change: (inout EngineOptions) -> Void) async throws -> VariantRun {
        for path in [plot, outputJson].compactMap(\.self) { try Terminal.requireWritable(path) }
        let variants = variants
        guard model.diagnostics.trace == nil || variants.count == 1 else {
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

/// `MODE` or `MODE:LAUNCH`.
struct ModeAndLaunch: ExpressibleByArgument {
    let mode: GraphMode
    var launch: AttentionLaunch?

    init(mode: GraphMode) { self.mode = mode }

    init?(argument: String) {
        let parts = argument.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        guard let first = parts.first, let mode = GraphMode(argument: String(first)) else { return nil }
        self.mode = mode
        guard parts.count == 2 else { return }
        guard let launch = AttentionLaunch(rawValue: String(parts[1])) else { return nil }
        self.launch = launch
    }
}

/// Engines for the time of a command.
struct VariantRun {
    let engines: VariantEngines
    let runs: [EngineRun]

    func finish() async throws { for run in runs { try await run.finish() } }
}
