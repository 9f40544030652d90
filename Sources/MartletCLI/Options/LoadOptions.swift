// SPDX-License-Identifier: Apache-2.0

package import ArgumentParser
import Foundation
import Martlet
import MartletAttention
import MartletBench
import MartletCompute

/// The options of every command that loads a model to run it in one way.
package struct LoadOptions: ParsableArguments {
    package init() {}

    @OptionGroup package var model: ModelOptions
    @OptionGroup(title: "Graphs and attention") var execution: ExecutionOptions

    /// Loads the model and says what it will run with.
    ///
    /// - Parameters:
    ///   - template: in place of the model's own; nil for that.
    ///   - adjust: changes what the options say.
    func loadEngine(
        _ template: ChatTemplateOptions? = nil, adjusting adjust: (inout EngineOptions) -> Void = { _ in }
    ) async throws -> EngineRun {
        var options = try model.engineOptions()
        options.chatTemplate = try template?.source
        execution.apply(to: &options)
        adjust(&options)
        return try await model.load(options)
    }
}

/// An engine for the time of a command.
struct EngineRun {
    let engine: Engine
    let trace: TraceRecorder?
    let tracePath: String?

    /// Ends the engine, and writes the trace if there is to be one.
    func finish() async throws {
        guard let trace, let tracePath else { return }
        await engine.stop()
        try trace.write(to: tracePath)
        let dropped = trace.droppedCount
        Terminal.note("trace: \(tracePath)" + (dropped > 0 ? ", without the last \(dropped) spans" : ""))
        let breakdown = DecodeStepBreakdown(trace)
        guard breakdown.steps > 0 else { return }
        func percent(_ part: Double) -> String { String(format: "%.1f %%", 100 * part / breakdown.total) }
        Terminal.note(
            "\(breakdown.steps) steps that computed one answer's next token and nothing else, median \(String(format: "%.3f", breakdown.median * 1e3)) ms: "
                + "kernels \(percent(breakdown.kernels)), between kernels \(percent(breakdown.betweenKernels)), "
                + "host \(percent(breakdown.host))")
    }
}

extension LoadedModel {
    /// The model and the device, for people.
    var shortLine: String { "\(name.escapingControlCharacters) on \(deviceName)" }

    /// One line for people: what it will run with.
    var line: String {
        "\(name.escapingControlCharacters) on \(deviceName) | KV cache \(cacheBytes.formattedBytes) of \(cacheFormat.rawValue), \(cacheBlocks) blocks, \(cacheTokens) tokens "
            + "| graph mode \(graphMode.rawValue) | a step: \(maxNumBatchedTokens) tokens, \(maxNumSeqs) sequences | a sequence: \(maxModelLength) tokens"
    }
}
