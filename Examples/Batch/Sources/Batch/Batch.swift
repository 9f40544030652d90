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
        while let line = readLine() { if !line.isEmpty { questions.append(line) } }

        var options = EngineOptions()
        options.maxNumSeqs = 32
        let engine = try await Engine.load(path, options: options)
        var sampling = SamplingParameters.greedy
        sampling.maxTokens = 64
        let answers = try await answers(to: questions, engine, sampling)
        for answer in answers { print(answer.replacing("\n", with: " ")) }
        await engine.stop()
    }

    /// Asks all at once: the engine computes as many together as it may, and each answer is what it would be alone.
    static func answers(
        to questions: [String], _ engine: Engine, _ sampling: SamplingParameters
    ) async throws -> [String] {
        try await withThrowingTaskGroup(of: (Int, String).self) { group in
            for (index, question) in questions.enumerated() {
                group.addTask {
                    let stream = try engine.generate([.user(question)], sampling: sampling)
                    return (index, try await stream.answers().first?.text ?? "")
                }
            }
            var answers = [String](repeating: "", count: questions.count)
            var done = 0
            for try await (index, text) in group {
                answers[index] = text
                done += 1
                showProgress(done, of: questions.count)
            }
            return answers
        }
    }

    static func showProgress(_ done: Int, of count: Int) {
        let filled = 40 * done / count
        let bar = String(repeating: "#", count: filled) + String(repeating: "-", count: 40 - filled)
        FileHandle.standardError.write(Data("\r[\(bar)] \(done) of \(count)\(done == count ? "\n" : "")".utf8))
    }
}
