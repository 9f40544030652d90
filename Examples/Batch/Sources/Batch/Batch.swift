// SPDX-License-Identifier: Apache-2.0

import Foundation
import Martlet

/// Answers each line of a text, many at a time: `swift run -c release Batch MODEL.gguf < QUESTIONS > ANSWERS`.
///
/// Writes one answer a line, in the order of the questions, and its progress to standard error. Ends at Ctrl-C.
@main
struct Batch {
    static func main() async throws {
        guard let path = CommandLine.arguments.dropFirst().first else {
            return print("usage: Batch MODEL.gguf < QUESTIONS > ANSWERS")
        }
        var questions: [String] = []
        while let line = readLine() { questions.append(line) }

        var options = EngineOptions()
        options.maxNumSeqs = 32
        let engine = try await Engine.load(path, options: options)
        var sampling = SamplingParameters.greedy
        sampling.maxTokens = 64
        let answers = await answers(to: questions, engine, sampling)
        for answer in answers { print(answer.replacing("\n", with: " ")) }
        await engine.stop()
    }

    /// Asks a hundred at a time, and one more as each ends: the engine computes as many together as it may, and refuses more
    /// than `limits.queuedRequests`. Each answer is what it would be alone. What goes wrong with one stands in its place.
    static func answers(
        to questions: [String], _ engine: Engine, _ sampling: SamplingParameters
    ) async -> [String] {
        await withTaskGroup(of: (Int, String).self) { group in
            func ask(_ index: Int) {
                let question = questions[index]
                group.addTask { (index, await answer(question, engine, sampling)) }
            }
            var answers = [String](repeating: "", count: questions.count)
            var (asked, done) = (0, 0)
            while asked < min(100, questions.count) {
                ask(asked)
                asked += 1
            }
            for await (index, text) in group {
                answers[index] = text
                done += 1
                showProgress(done, of: questions.count)
                if asked < questions.count {
                    ask(asked)
                    asked += 1
                }
            }
            return answers
        }
    }

    /// An empty line's answer is empty.
    static func answer(_ question: String, _ engine: Engine, _ sampling: SamplingParameters) async -> String {
        guard !question.isEmpty else { return "" }
        do { return try await engine.generate([.user(question)], sampling: sampling).answers().first?.text ?? "" } catch
        {
            return "ERROR: \(error)"
        }
    }

    static func showProgress(_ done: Int, of count: Int) {
        let filled = 40 * done / count
        let bar = String(repeating: "#", count: filled) + String(repeating: "-", count: 40 - filled)
        FileHandle.standardError.write(Data("\r[\(bar)] \(done) of \(count)\(done == count ? "\n" : "")".utf8))
    }
}
