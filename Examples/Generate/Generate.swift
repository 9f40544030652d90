// SPDX-License-Identifier: Apache-2.0

import Foundation
import Martlet

/// Continues a text: `swift run -c release GenerateExample MODEL "Once upon a time"`.
@main
struct Generate {
    static func main() async {
        guard CommandLine.arguments.count == 3 else {
            print("usage: GenerateExample MODEL PROMPT")
            exit(64)
        }
        do {
            let engine = try await Engine.load(CommandLine.arguments[1])
            var sampling = SamplingParameters.greedy
            sampling.maxTokens = 64
            for try await piece in try engine.generate(CommandLine.arguments[2], sampling: sampling) {
                print(piece.text, terminator: "")
                if let summary = piece.summary {
                    print("\n\(summary.completionTokens) tokens, \(summary.finishReason)")
                }
            }
        } catch {
            print("Error: \(error)")
            exit(1)
        }
    }
}
