// SPDX-License-Identifier: Apache-2.0

package import ArgumentParser
import Foundation
import Martlet
import MartletCompute

/// Which model, and what an engine of it holds.
package struct ModelOptions: ParsableArguments {
    package init() {}

    @Argument(
        help:
            "Path of a GGUF file, or of a folder of safetensors as the hub has it, or a short name: smollm2. With --load-format dummy a config.json is enough."
    )
    package var model: ModelPath

    @OptionGroup(title: "Weights and device") var compute: ComputeOptions
    @OptionGroup(title: "Context and KV cache") package var cache: CacheOptions
    @OptionGroup(title: "Steps") var scheduling: SchedulingOptions
    @OptionGroup(title: "Diagnostics") var diagnostics: DiagnosticOptions

    /// All that these options say of an engine.
    func engineOptions() throws -> EngineOptions {
        var options = EngineOptions()
        compute.apply(to: &options)
        cache.apply(to: &options)
        scheduling.apply(to: &options)
        try diagnostics.apply(to: &options)
        return options
    }

    /// Loads the model, with a progress bar, and says what it will run with.
    func load(_ options: EngineOptions) async throws -> EngineRun {
        FileFaults.exitCleanly()
        compute.device.warnOfThreads()
        let bar = ProgressBar(title: "Loading")
        defer { bar.clear() }
        let path = try model.resolve()
        var options = options
        options.endTokens += try GenerationDefaults.auto.endTokens(model: path)
        let engine: Engine
        do { engine = try await Engine.load(path, options: options) { bar.show($0) } } catch {
            throw error.input(longest: cache.maxModelLen == nil ? options.maxModelLength : nil)
        }
        bar.clear()
        Terminal.note(diagnostics.verbose ? engine.model.line : engine.model.shortLine)
        return EngineRun(engine: engine, trace: options.trace, tracePath: diagnostics.trace)
    }
}
