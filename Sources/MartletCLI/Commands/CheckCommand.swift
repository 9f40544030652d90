// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import Martlet

struct CheckCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check", abstract: "Holds this engine against another's results.",
        subcommands: [CheckTextCommand.self, CheckAttentionCommand.self, CheckSchedulerCommand.self])
}

struct CheckTextCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "text", abstract: "Greedy answers, logits and token ids.",
        discussion: """
            DIR holds greedy.json (greedy_<type>.json for a model whose matrices are of that type), tokens.json or both; \
            beside greedy.json perhaps last_logits.safetensors, the logits behind each prompt as prompt_0 and so on, and \
            greedy_short.json, for which the model is loaded once more with just the context that it needs. \
            Answers are compared teacher-forced, on the reference's ids, and free-running. Engines \
            that round activations to 8 bits in different orders differ by what --tolerance allows. Fails if the mean \
            difference of logprobs is larger, another token is likeliest where the reference is surer than \
            rounding can explain, or a logit is further off than --logit-tolerance allows.
            """)

    @OptionGroup var load: LoadOptions

    @Argument(help: "A directory of references.", completion: .directory)
    var directory: String

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            """
            Largest mean |difference| of logprobs, in nats. With --activations int16 a reference that doesn't round is \
            met within 0.004.
            """,
            valueName: "nats"))
    var tolerance = TextCheck().meanTolerance

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Largest error of a logit, as a share of the reference's largest minus its smallest.", valueName: "share"))
    var logitTolerance = 0.05

    func validate() throws {
        guard tolerance > 0, tolerance.isFinite else {
            throw ValidationError("--tolerance is \(tolerance); it is a positive number of nats")
        }
        guard logitTolerance > 0, logitTolerance.isFinite else {
            throw ValidationError("--logit-tolerance is \(logitTolerance); it is a positive share")
        }
    }

    func run() async throws {
        try Terminal.requireFolder(directory)
        let run = try await load.loadEngine { $0.limits.logprobs = TextCheck.comparedLogits }
        let engine = run.engine
        let references = try TextReferences(
            directory: URL(filePath: directory), matrixType: engine.model.matrixType.rawValue)
        let check = TextCheck(meanTolerance: tolerance)
        var passes = true
        if let file = references.greedyFile {
            passes = try await checkGreedy(references.greedy, file, check, engine)
        }
        if !references.lastLogits.isEmpty { passes = try await checkLogits(references, check, engine) && passes }
        if let longest = references.shortGreedy.map({ $0.promptIDs.count + $0.ids.count }).max() {
            let short = try await load.loadEngine { $0.maxModelLength = longest }
            passes =
                try await checkGreedy(references.shortGreedy, TextReferences.shortGreedyFile, check, short.engine)
                && passes
            try await short.finish()
        }
        let failures = references.tokens.filter { !check.check($0, on: engine) }
        for failure in failures { Terminal.write("ids differ: \(failure.text.debugDescription)\n") }
        let agreeing = references.tokens.count - failures.count
        Terminal.write(
            references.tokensFile.map { "\($0): \(agreeing) of \(references.tokens.count) texts agree\n" }
                ?? "tokens.json: not there, so ids aren't compared\n")
        guard passes, failures.isEmpty else { throw ExitCode.failure }
    }

    private func checkLogits(_ references: TextReferences, _ check: TextCheck, _ engine: Engine) async throws -> Bool {
        var worst = 0.0
        for (prompt, logits) in zip(references.greedy, references.lastLogits) {
            worst = max(worst, try await check.logitError(behind: prompt, logits, on: engine))
        }
        let count = references.lastLogits.first?.count ?? 0
        let compared = min(count, TextCheck.comparedLogits)
        Terminal.write(
            String(
                format:
                    "%@: largest error of %@%d logits behind %d prompts %.2e of largest minus smallest (at most %g)\n",
                TextReferences.lastLogitsFile, compared < count ? "the likeliest " : "", compared,
                references.lastLogits.count, worst, logitTolerance))
        return worst <= logitTolerance
    }

    private func checkGreedy(
        _ references: [GreedyReference], _ file: String, _ check: TextCheck, _ engine: Engine
    ) async throws -> Bool {
        var table = Table()
        table.add("prompt", "steps", "mean |d|", "max |d|", "near ties", "wrong top", "diverges", "verdict")
        table.legend = [
            "mean |d|, max |d|": "difference of logprobs on the reference's ids, in nats",
            "near ties": String(
                format:
                    "steps whose two likeliest tokens of the reference are less than %g apart: rounding may swap them",
                check.nearTie),
            "wrong top": "other steps at which this engine finds another token likeliest",
            "diverges": "the step at which this engine's own answer leaves the reference's",
        ]
        var outcomes: [TextCheck.GreedyOutcome] = []
        for reference in references {
            let outcome = try await check.check(reference, on: engine)
            outcomes.append(outcome)
            let divergence = outcome.divergence.map { "\($0)\(outcome.divergedWrongly ? "" : " (tie)")" } ?? "never"
            table.add(
                String(outcome.prompt.prefix(32)).debugDescription, "\(outcome.steps)",
                String(format: "%.4f", outcome.meanDifference), String(format: "%.4f", outcome.largestDifference),
                "\(outcome.nearTies)", outcome.wrongTopTokens.isEmpty ? "none" : "\(outcome.wrongTopTokens)",
                divergence,
                !outcome.promptIDsMatch ? "prompt ids differ" : outcome.passes ? "ok" : "FAILED")
        }
        let mean = TextCheck.meanDifference(of: outcomes)
        let steps = outcomes.reduce(0) { $0 + $1.steps }
        let worst = outcomes.map(\.largestDifference).max() ?? 0
        Terminal.write(table.text)
        Terminal.write(
            String(
                format: "%@: mean |difference| %.2e (at most %g), largest %.2e, over %d steps\n", file, mean,
                check.meanTolerance, worst, steps))
        return outcomes.allSatisfy(\.passes) && mean <= check.meanTolerance
    }
}
