// SPDX-License-Identifier: Apache-2.0

import Martlet

/// Answers one question: `swift run -c release Answer MODEL.gguf "Why is the sky blue?"`.
@main
struct Answer {
    static func main() async throws {
        let arguments = CommandLine.arguments.dropFirst()
        guard arguments.count == 2, let path = arguments.first, let question = arguments.last else {
            return print("usage: Answer MODEL.gguf QUESTION")
        }
        let engine = try await Engine.load(path)
        var sampling = SamplingParameters()
        sampling.temperature = 0.7
        sampling.topP = 0.9
        for try await piece in try engine.generate([.user(question)], sampling: sampling) {
            Terminal.write(piece.text)
            if let summary = piece.summary {
                let rate = Int(summary.generationTokensPerSecond.rounded())
                print(
                    "\n[\(summary.completionTokens) tokens, \(rate) tokens/s, ended by \(summary.finishReason.rawValue)]"
                )
            }
        }
    }
}
