// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import Martlet

struct EvaluateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "evaluate", abstract: "Measures a model.",
        subcommands: [PerplexityCommand.self, LogLikelihoodCommand.self])
}

struct PerplexityCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "perplexity", abstract: "How surprised a model is by a text: lower is better.",
        discussion: "Windows that don't overlap, the second half of each scored, as llama.cpp does it.")

    @OptionGroup var load: LoadOptions

    @Argument(help: "A text file.")
    var file: String

    @Option(parsing: .unconditional, help: "Tokens in a window.")
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

struct LogLikelihoodCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "loglikelihood", abstract: "How likely a model finds texts behind others.",
        discussion: "What lm_eval computes of a multiple choice, one JSON object a line.")

    @OptionGroup var load: LoadOptions

    @Argument(help: #"A file of lines like {"context": "…", "continuation": "…"}."#)
    var file: String

    private struct Pair: Decodable {
        let context: String
        let continuation: String
    }

    private struct Line: Encodable {
        let loglikelihood: Double
        let is_greedy: Bool
    }

    func run() async throws {
        let pairs = try Terminal.readFile(file).split(separator: "\n").enumerated().map { index, line in
            guard let pair = try? JSONDecoder().decode(Pair.self, from: Data(line.utf8)) else {
                throw InputError(
                    """
                    line \(index + 1) of \(file) is not a JSON object of two texts, like \
                    {"context": "…", "continuation": "…"}
                    """)
            }
            return pair
        }
        let run = try await load.loadEngine()
        for pair in pairs {
            let result = try await LogLikelihood.of(pair.continuation, behind: pair.context, on: run.engine)
            let line = try JSONEncoder().encode(Line(loglikelihood: result.logprob, is_greedy: result.isGreedy))
            Terminal.write(String(decoding: line, as: UTF8.self) + "\n")
        }
        try await run.finish()
    }
}
