// SPDX-License-Identifier: Apache-2.0

import ArgumentParser

/// What is asked of each engine, and counted in tokens a second.
package enum Workload: Hashable, CustomStringConvertible {
    /// Reading a prompt of that many tokens, up to the first token of the answer.
    case prompt(Int)
    /// An answer of `tokens` behind a context of `depth`.
    case answer(Int, depth: Int)
    /// That many requests of 128 tokens in and 128 out at once: output tokens, prompts included in the time.
    case concurrent(Int)

    /// Tokens of the context that counts as none: servers take no empty prompt.
    static let shortPrompt = 16
    static let concurrentLength = 128

    package var description: String {
        switch self {
        case .prompt(let tokens): "prompt:\(tokens)"
        case .answer(let tokens, 0): "answer:\(tokens)"
        case .answer(let tokens, let depth): "answer:\(tokens)@\(depth)"
        case .concurrent(let count): "concurrent:\(count)"
        }
    }

    /// Tokens of prompt and answer together.
    var length: Int {
        switch self {
        case .prompt(let tokens): tokens + 1
        case .answer(let tokens, let depth): max(depth, Self.shortPrompt) + tokens + 1
        case .concurrent: 2 * Self.concurrentLength
        }
    }

    var requests: Int { if case .concurrent(let count) = self { count } else { 1 } }
}

extension Workload: ExpressibleByArgument {
    init?(argument: String) {
        let parts = argument.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 2 else { return nil }
        let numbers = parts[1].split(separator: "@", omittingEmptySubsequences: false).map { Int($0) ?? 0 }
        guard (1...2).contains(numbers.count), numbers.allSatisfy({ (1...(1 << 20)).contains($0) }) else { return nil }
        switch (parts[0], numbers.count) {
        case ("prompt", 1): self = .prompt(numbers[0])
        case ("answer", 1) where numbers[0] > 1: self = .answer(numbers[0], depth: 0)
        case ("answer", 2) where numbers[0] > 1: self = .answer(numbers[0], depth: numbers[1])
        case ("concurrent", 1) where numbers[0] <= 1024: self = .concurrent(numbers[0])
        default: return nil
        }
    }
}

/// Workloads separated by commas.
package struct Workloads: ExpressibleByArgument {
    package let values: [Workload]

    init(_ values: [Workload]) { self.values = values }

    init?(argument: String) {
        let values = argument.split(separator: ",").map { Workload(argument: String($0)) }
        guard !values.isEmpty, !values.contains(nil) else { return nil }
        self.init(values.compactMap(\.self))
    }
}
