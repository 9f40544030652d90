// SPDX-License-Identifier: Apache-2.0

import Foundation
import Martlet
import MartletCompute
package import MartletText

/// The requests of a throughput benchmark.
package struct ThroughputWorkload: Sendable {
    package struct Request: Equatable, Sendable {
        package var promptTokens: [Int32]
        package var outputLength: Int

        package init(promptTokens: [Int32], outputLength: Int) {
            self.promptTokens = promptTokens
            self.outputLength = outputLength
        }
    }

    package let requests: [Request]

    package init(requests: [Request]) { self.requests = requests }

    /// Random tokens. Lengths are taken in turn from the lists.
    ///
    /// - Parameters:
    ///   - prefixLength: tokens that all prompts begin with, before their own.
    ///   - vocabulary: control tokens are left out.
    package static func random(
        count: Int, inputLengths: [Int], outputLengths: [Int], prefixLength: Int = 0, vocabulary: Vocabulary,
        seed: UInt64
    ) -> ThroughputWorkload {
        precondition(!inputLengths.isEmpty && !outputLengths.isEmpty)
        var random = ReplayableRandom(seed: seed)
        let words = vocabulary.kinds.indices.filter { vocabulary.kinds[$0] == .normal }.map(Int32.init)
        func tokens(_ count: Int) -> [Int32] {
            (0..<count).map { _ in words.randomElement(using: &random) ?? 0 }
        }
        let prefix = tokens(prefixLength)
        return ThroughputWorkload(
            requests: (0..<count).map { index in
                Request(
                    promptTokens: prefix + tokens(inputLengths[index % inputLengths.count]),
                    outputLength: outputLengths[index % outputLengths.count])
            })
    }

    /// The first turns of ShareGPT's conversations: questions, and answers of the length that they had there. As vLLM
    /// does it, what has fewer than 4 tokens, or more than 1024 or 2048 with its answer, is left out.
    package static func shareGPT(
        path: String, count: Int, outputLength: Int?, tokenizer: Tokenizer, seed: UInt64
    ) throws -> ThroughputWorkload {
        struct Conversation: Decodable {
            struct Turn: Decodable { let value: String }
            let conversations: [Turn]
        }
        guard let data = FileManager.default.contents(atPath: path) else {
            throw WorkloadError(description: "can't read \(path)")
        }
        guard var conversations = try? JSONDecoder().decode([Conversation].self, from: data)
        else { throw WorkloadError(description: "\(path) is not a list of ShareGPT conversations") }
        var random = ReplayableRandom(seed: seed)
        conversations.shuffle(using: &random)
        var requests: [Request] = []
        for turns in conversations.map(\.conversations) where turns.count >= 2 && requests.count < count {
            let prompt = tokenizer.encode(turns[0].value)
            let length = outputLength ?? tokenizer.encode(turns[1].value).count
            guard prompt.count >= 4, length >= 4 || outputLength != nil, prompt.count <= 1024,
                prompt.count + length <= 2048
            else { continue }
            requests.append(Request(promptTokens: prompt, outputLength: length))
        }
        guard !requests.isEmpty else {
            throw WorkloadError(description: "\(path) has no conversation of a usable length")
        }
        return ThroughputWorkload(requests: requests)
    }
}

package struct WorkloadError: Error, CustomStringConvertible {
    package let description: String
}
