// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Martlet
import MartletCompute

/// What an engine says of its work.
struct DiagnosticOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "A file for a trace of steps and kernels, for Perfetto or Chrome; about 100 KB a step.", valueName: "file"),
        completion: .file())
    var trace: String?

    @Flag(name: [.long, .customShort("v")], help: "Says all that the model will run with.")
    var verbose = false

    func apply(to options: inout EngineOptions) throws {
        guard let trace else { return }
        try Terminal.requireWritable(trace)
        options.trace = TraceRecorder()
    }
}
