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

    @Flag(
        inversion: .prefixedNo,
        help: "Whether control tokens that a --raw prompt spells, such as <|im_end|>, become those tokens.")
    var parseSpecial = true

    @OptionGroup var template: ChatTemplateOptions

    @Option(help: "A system message, put before the prompt.")
    var system: String?

    @Option(name: .customLong("n"), parsing: .unconditional, help: "Answers to draw, side by side.")
    var count = 1

    @OptionGroup(title: "Sampling") var sampling: SamplingOptions

    func validate() throws {
        if raw, system != nil { throw ValidationError("--raw has no place for a --system message") }
    }

    func run() async throws {
        let prompt = prompt == "-" ? try Terminal.readInput() : prompt
        guard prompt.contains(where: { !$0.isWhitespace }) else { throw InputError("the prompt is empty") }
        let run = try await load.loadEngine(template)
        let stream = try answer(prompt, on: run.engine)
        if count == 1 {
            _ = try await Terminal.stream(stream)
        } else {
            for (index, answer) in try await stream.answers().enumerated() {
                Terminal.write("--- \(index + 1) of \(count)\n\(answer.text)\n")
                if let summary = answer.summary { Terminal.note(summary.line) }
            }
        }
        try await run.finish()
    }

    private func answer(_ prompt: String, on engine: Engine) throws -> GenerationStream {
        var parameters = sampling.parameters(engine.model.tokenizer)
        parameters.n = count
        if raw || engine.model.chatTemplate == nil {
            // A warning has said why a template can't be used.
            if !raw, engine.model.chatTemplateFault == nil {
                Terminal.note("note: the model has no chat template; continuing the prompt as it stands")
            }
            return try engine.generate(prompt, parsingSpecials: parseSpecial, sampling: parameters)
        }
        let messages = (system.map { [ChatMessage.system($0)] } ?? []) + [.user(prompt)]
        return try engine.generate(messages, sampling: parameters)
    }
}
