// SPDX-License-Identifier: Apache-2.0

package import Foundation
import MartletCheckpoints

/// Another engine's greedy answer to a prompt, with what it thought at each step.
package struct GreedyReference: Decodable, Sendable {
    package let prompt: String
    package let promptIDs: [Int32]
    package let ids: [Int32]
    /// Natural logarithms, one an id.
    package let logprobs: [Double]
    /// At each step the likeliest tokens, best first.
    package let top5: [[Candidate]]

    package struct Candidate: Decodable, Sendable {
        package let token: Int32
        package let logprob: Double

        package init(from decoder: any Decoder) throws {
            var container = try decoder.unkeyedContainer()
            token = try container.decode(Int32.self)
            logprob = try container.decode(Double.self)
        }
    }

    private enum CodingKeys: String, CodingKey {
        case prompt, ids, logprobs, top5
        case promptIDs = "prompt_ids"
    }

    /// How far the best candidate of a step is ahead of the second, in nats.
    func margin(_ step: Int) -> Double {
        top5[step].count > 1 ? top5[step][0].logprob - top5[step][1].logprob : .infinity
    }

    /// Whether each step has its logprob and candidates, and the prompt is there.
    var isConsistent: Bool {
        !promptIDs.isEmpty && !ids.isEmpty && logprobs.count == ids.count && top5.count == ids.count
            && top5.allSatisfy { !$0.isEmpty }
    }
}

/// A text's token ids by another tokenizer.
package struct TokenReference: Decodable, Sendable {
    package let text: String
    /// With special tokens parsed.
    package let special: [Int32]
    /// With special tokens taken as text.
    package let plain: [Int32]

    private enum CodingKeys: String, CodingKey {
        case text
        case special = "ids_special"
        case plain = "ids_plain"
    }
}

/// A directory of references: `greedy.json` (`greedy_<type>.json` for a model whose matrices are of that type),
/// `greedy_short.json`, `last_logits.safetensors` and `tokens.json`.
package struct TextReferences: Sendable {
    package let greedyFile: String?
    package let greedy: [GreedyReference]
    /// For a model whose rotations depend on the longest sequence: answers where that is short.
    package let shortGreedy: [GreedyReference]
    package static let shortGreedyFile = "greedy_short.json"
    /// All logits behind the prompt of each of `greedy`; empty where there are none.
    package let lastLogits: [[Float]]
    package static let lastLogitsFile = "last_logits.safetensors"
    package let tokens: [TokenReference]
    /// nil where there is no tokens.json.
    package let tokensFile: String?

    package init(directory: URL, matrixType: String) throws {
        func read<Value: Decodable>(_ name: String) throws -> [Value]? {
            let url = directory.appending(path: name)
            guard FileManager.default.fileExists(atPath: url.path) else { return nil }
            do { return try JSONDecoder().decode([Value].self, from: Data(contentsOf: url)) } catch {
                let reason = (error as? DecodingError)?.explanation ?? "it can't be read"
                throw EngineError(.invalidRequest, "\(url.path) is not a list of references: \(reason)")
            }
        }
        var greedyFile: String?
        var greedy: [GreedyReference] = []
        for name in ["greedy_\(matrixType.lowercased()).json", "greedy.json"] {
            if let found: [GreedyReference] = try read(name) {
                (greedyFile, greedy) = (name, found)
                break
            }
        }
        shortGreedy = try read(Self.shortGreedyFile) ?? []
        let logits = directory.appending(path: Self.lastLogitsFile).path
        if greedyFile == "greedy.json", FileManager.default.fileExists(atPath: logits) {
            let file = try SafetensorsFile(path: logits)
            lastLogits = try greedy.indices.map { try file.floats("prompt_\($0)") }
        } else {
            lastLogits = []
        }
        let found: [TokenReference]? = try read("tokens.json")
        let tokens = found ?? []
        guard !greedy.isEmpty || !tokens.isEmpty else {
            throw EngineError(.invalidRequest, "\(directory.path) holds neither greedy.json nor tokens.json")
        }
        for (name, references) in [(greedyFile ?? "", greedy), (Self.shortGreedyFile, shortGreedy)]
        where !references.allSatisfy(\.isConsistent) {
            throw EngineError(.invalidRequest, "\(name) has an entry whose lists differ in length")
        }
        self.greedyFile = greedyFile
        self.greedy = greedy
        self.tokens = tokens
        tokensFile = found == nil ? nil : "tokens.json"
    }
}
