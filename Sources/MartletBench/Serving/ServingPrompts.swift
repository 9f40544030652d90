// SPDX-License-Identifier: Apache-2.0

import Foundation
import MartletCompute
package import MartletText

/// Prompts for a serving benchmark, under the names of vLLM's data sets.
package enum ServingDataset: String, Sendable, CaseIterable {
    case random, sharegpt
    case prefixRepetition = "prefix_repetition"
    case custom
}

extension ThroughputWorkload {
    /// Random prompts whose lengths vary by a share around their mean, both ways. A parameter for each of vLLM's flags.
    package static func random(
        count: Int, inputLength: Int, outputLength: Int, rangeRatio: Double, prefixLength: Int, vocabulary: Vocabulary,
        seed: UInt64
    ) -> ThroughputWorkload {
        var random = ReplayableRandom(seed: seed ^ 0x6c65_6e67)
        func lengths(_ mean: Int) -> [Int] {
            let spread = Int(Double(mean) * rangeRatio)
            return (0..<count).map { _ in max(1, Int.random(in: mean - spread...mean + spread, using: &random)) }
        }
        return .random(
            count: count, inputLengths: lengths(inputLength), outputLengths: lengths(outputLength),
            prefixLength: prefixLength, vocabulary: vocabulary, seed: seed)
    }

    /// Prompts that share some prefixes in turn. A parameter for each of vLLM's flags.
    package static func prefixRepetition(
        count: Int, prefixLength: Int, suffixLength: Int, prefixes: Int, outputLength: Int, vocabulary: Vocabulary,
        seed: UInt64
    ) -> ThroughputWorkload {
        let beginnings = random(
            count: prefixes, inputLengths: [prefixLength], outputLengths: [1], vocabulary: vocabulary, seed: seed)
        let endings = random(
            count: count, inputLengths: [suffixLength], outputLengths: [outputLength], vocabulary: vocabulary,
            seed: seed &+ 1)
        return ThroughputWorkload(
            requests: endings.requests.enumerated().map { index, ending in
                Request(
                    promptTokens: beginnings.requests[index % prefixes].promptTokens + ending.promptTokens,
                    outputLength: outputLength)
            })
    }

    /// A file of JSON objects, one a line, each with a `prompt`; used in turn where there are too few.
    package static func custom(
        path: String, count: Int, outputLength: Int, tokenizer: Tokenizer
    ) throws -> ThroughputWorkload {
        struct Line: Decodable { let prompt: String }
        guard let data = FileManager.default.contents(atPath: path) else {
            throw WorkloadError(description: "can't read \(path)")
        }
        let prompts = try data.split(separator: UInt8(ascii: "\n")).map { line in
            guard let prompt = try? JSONDecoder().decode(Line.self, from: Data(line)).prompt, !prompt.isEmpty else {
                throw WorkloadError(description: #"\#(path) must hold lines like {"prompt": "…"}"#)
            }
            return tokenizer.encode(prompt)
        }
        guard !prompts.isEmpty else { throw WorkloadError(description: "\(path) is empty") }
        return ThroughputWorkload(
            requests: (0..<count).map {
                Request(promptTokens: prompts[$0 % prompts.count], outputLength: outputLength)
            })
    }
}
