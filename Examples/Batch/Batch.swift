// SPDX-License-Identifier: Apache-2.0

import Martlet

/// Many requests at once: `swift run -c release BatchExample MODEL.gguf`.
@main
enum Batch {
    static func main() async throws {
        guard let path = CommandLine.arguments.dropFirst().first else { return print("usage: BatchExample MODEL.gguf") }
        let engine = try await Engine.load(path)
        var sampling = SamplingParameters()
        sampling.temperature = 0.7
        sampling.seed = 1
        sampling.maxTokens = 40
        sampling.stop = ["\n"]
        sampling.logprobs = 3

        // Computed together; each answer is what it would be alone.
        let questions = ["Name a bird.", "Name a tree.", "Name a river.", "Name a planet."]
        try await withThrowingTaskGroup(of: Void.self) { group in
            for question in questions {
                group.addTask { [sampling] in
                    for answer in try await engine.generate([.user(question)], sampling: sampling).answers() {
                        let first = answer.topLogprobs.first?.map { "\($0.token): \($0.logprob)" } ?? []
                        print("\(question) \(answer.text) [first token's likeliest: \(first.joined(separator: ", "))]")
                    }
                }
            }
            try await group.waitForAll()
        }

        // Three answers to one prompt, which they share.
        sampling.n = 3
        for answer in try await engine.generate("Once upon a time", sampling: sampling).answers() {
            print("…\(answer.text) (\(answer.summary?.finishReason.rawValue ?? "cancelled"))")
        }

        // Ending the task that reads an answer ends the answer.
        let stream = try engine.generate("A very long story:")
        let reader = Task { try await stream.answers() }
        reader.cancel()
        print(await reader.result)

        print("\(engine.health), \(engine.statistics.generatedTokens) tokens in \(engine.statistics.steps) steps")
        await engine.stop()
    }
}
