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
            system: "You answer in one or two sentences.", maxModelLength: engine.model.maxModelLength)
        var sampling = SamplingParameters()
        sampling.temperature = 0.7
        sampling.maxTokens = 200
        while true {
            Terminal.write("> ")
            guard let question = readLine(), !question.isEmpty else { break }
            conversation.messages.append(.user(question))
            _ = try conversation.fit { try engine.model.tokens(of: $0).count }
            var answer = ""
            do {
                for try await piece in try engine.generate(conversation.messages, sampling: sampling) {
                    answer += piece.text
                    Terminal.write(piece.text)
                }
            } catch let error as EngineError where error.code == .contextExceeded {
                Terminal.write("(\(error))")
                conversation.messages.removeLast()
                continue
            }
            Terminal.write("\n")
            conversation.messages.append(.assistant(answer))
        }
        await engine.stop()
    }
}
