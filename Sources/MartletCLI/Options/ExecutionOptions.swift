// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
package import Martlet
import MartletAttention
import MartletCompute

/// How steps are run.
package struct ExecutionOptions: ParsableArguments {
    package init() {}

    @Option(
        help: ArgumentHelp(
            """
            How steps are run: FULL is one graph, PIECEWISE graphs between the attention kernels, NONE kernel by kernel, \
            FULL_DECODE_ONLY and FULL_AND_PIECEWISE are FULL for steps of nothing but decodes. FULL by default.
            """, valueName: "mode"))
    var graphMode: GraphMode?

    @OptionGroup var graphs: GraphOptions

    @Option(
        help:
            "Attention kernels a step: unified is one, split one for prefills and one for decodes, auto is split in graph mode FULL and unified in others."
    )
    var attentionLaunch = EngineOptions().attentionLaunch

    func validate() throws { try graphs.requireOneMode(beside: graphMode.map { [$0] } ?? []) }

    package func apply(to options: inout EngineOptions) {
        options.graphMode = graphs.mode ?? graphMode ?? options.graphMode
        options.graphCaptureSizes = graphs.captureSizes
        options.attentionLaunch = attentionLaunch
    }
}

/// vLLM's spellings for how steps are run.
struct GraphOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            """
            vLLM's spelling of it: '{"cudagraph_mode": "FULL", "cudagraph_capture_sizes": [1, 2, 4]}'. Steps of more \
            tokens than the largest size run kernel by kernel.
            """, valueName: "JSON"),
        transform: { try CompilationConfig(json: $0) })
    var compilationConfig = CompilationConfig()

    @Option(
        name: .customLong("compilation-config.cudagraph_mode"),
        help: ArgumentHelp("The mode alone, as vLLM lets one write it.", valueName: "mode"))
    var dottedMode: GraphMode?

    @Option(
        name: .customLong("compilation-config.cudagraph_capture_sizes"),
        help: ArgumentHelp("The sizes alone: 1,2,4 or [1, 2, 4].", valueName: "sizes"),
        transform: { try CompilationConfig.captureSizes($0) })
    var dottedSizes: [Int] = []

    @Flag(help: "The same as --graph-mode NONE, and above all others.")
    var enforceEager = false

    func validate() throws {
        if let sizes = compilationConfig.captureSizes, !dottedSizes.isEmpty, sizes != dottedSizes {
            throw ValidationError("--compilation-config names different capture sizes")
        }
    }

    /// The mode that these ask for; nil where they don't.
    var mode: GraphMode? { enforceEager ? GraphMode.none : compilationConfig.graphMode ?? dottedMode }

    /// nil where none were given.
    var captureSizes: [Int]? { compilationConfig.captureSizes ?? (dottedSizes.isEmpty ? nil : dottedSizes) }

    /// - Parameter listed: what `--graph-mode` asks for.
    func requireOneMode(beside listed: [GraphMode]) throws {
        guard !enforceEager else { return }
        let modes = [compilationConfig.graphMode, dottedMode].compactMap(\.self)
        guard Set(modes).count <= 1, listed.isEmpty || modes.isEmpty || Set(modes) == Set(listed) else {
            throw ValidationError("--graph-mode and --compilation-config name different modes")
        }
    }
}
