// SPDX-License-Identifier: Apache-2.0

import Foundation
import Martlet

/// A conversation in the terminal: `swift run -c release Chat MODEL.gguf`. An empty line ends it.
@main
struct Chat {
    static func main() async throws {
        guard let path = CommandLine.arguments.dropFirst().first else { return print("usage: Chat MODEL.gguf") }
        let engine = try await Engine.load(path) { fraction in
            Terminal.write("\rLoading \(Int(fraction * 100)) %\(fraction == 1 ? "\n" : "")")
        }
        // The oldest turns are dropped once the context is full.
        var conversation = Conversation(
            system: "You answer in one or two sentences.", maxModelLength: engine.model.maxModelLength,
            answerLength: 200)
        var sampling = SamplingParameters()
        sampling.temperature = 0.7
        sampling.maxTokens = 200
        while true {
            Terminal.write("> ")
            guard let question = readLine(), !question.isEmpty else { break }
            // A copy: a question that is refused changes nothing.
            var next = conversation
            next.messages.append(.user(question))
            let forgotten = try next.fit { try engine.model.tokens(of: $0).count }
            if forgotten > 0 { Terminal.write("(\(forgotten) old messages are forgotten)\n") }
            var answer = ""
            do {
                for try await piece in try engine.generate(next.messages, sampling: sampling) {
                    answer += piece.text
                    Terminal.write(piece.text)
                }
            } catch let error as EngineError where error.code == .contextExceeded {
                Terminal.write("(\(error))\n")
                continue
            }
            Terminal.write("\n")
            next.messages.append(.assistant(answer))
            conversation = next
        }
        await engine.stop()
    }
}
