// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import Martlet

struct EvaluateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "evaluate", abstract: "Measures a model.", subcommands: [PerplexityCommand.self])
}

struct PerplexityCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "perplexity", abstract: "How surprised a model is by a text: lower is better.",
        discussion: "Windows that don't overlap, the second half of each scored, as llama.cpp does it.")

    @OptionGroup var load: LoadOptions

    @Argument(help: "A text file.")
    var file: String

    @Option(help: "Tokens in a window.")
    var context = 512

    func run() async throws {
        let perplexity = try Perplexity(contextLength: context)
        let text = try Terminal.readFile(file)
        let run = try await load.loadEngine()
        let engine = run.engine
        let result = try await perplexity.evaluate(text, on: engine) { result in
            Terminal.note(String(format: "window %d: %.4f", result.windows, result.perplexity))
        }
        Terminal.write(
            String(
                format: "perplexity %.4f ± %.4f over %d tokens in %d windows of %d\n", result.perplexity,
                result.standardError, result.scoredTokens, result.windows, context))
    }
}
