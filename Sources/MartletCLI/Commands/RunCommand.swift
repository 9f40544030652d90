// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Martlet
import MartletText

struct RunCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run", abstract: "Answers one prompt.")

    @OptionGroup var load: LoadOptions

    @Argument(help: "The prompt; - reads it from standard input.")
    var prompt: String

    @Flag(help: "Continues the prompt as it stands, without the model's chat template.")
    var raw = false

    @Option(help: "A system message, put before the prompt.")
    var system: String?

    @OptionGroup var sampling: SamplingOptions

    func validate() throws {
        if raw, system != nil { throw ValidationError("--raw has no place for a --system message") }
    }

    func run() async throws {
        let prompt = prompt == "-" ? try Terminal.readInput() : prompt
        guard prompt.contains(where: { !$0.isWhitespace }) else { throw InputError("the prompt is empty") }
        let engine = try await load.loadEngine()
        if raw || engine.model.chatTemplate == nil {
            if !raw { Terminal.note("note: the model has no chat template; continuing the prompt as it stands") }
            _ = try await Terminal.stream(engine.generate(prompt, sampling: sampling.parameters))
        } else {
            let messages = (system.map { [ChatMessage.system($0)] } ?? []) + [.user(prompt)]
            _ = try await Terminal.stream(engine.generate(messages, sampling: sampling.parameters))
        }
    }
}
