// SPDX-License-Identifier: Apache-2.0

/// An engine in the comparison.
package protocol Contender {
    var name: String { get }
    /// Tokens a second; nil where it can't be asked that.
    func run(_ workload: Workload, prompts: [[Int32]]) async throws -> Double?
    /// Called before it is asked: llama-bench reads a prompt to warm up before it reads the one that counts.
    func warmUp(_ workload: Workload, prompts: [[Int32]]) async throws
    /// Called when it won't be asked again.
    func end() async throws
}

extension Contender {
    /// An answer's time begins behind its prompt anyway.
    package func warmUp(_ workload: Workload, prompts: [[Int32]]) async throws {
        if case .prompt = workload { _ = try await run(workload, prompts: prompts) }
    }

    package func end() async throws {}
}

/// When the tokens of one answer came, in seconds from its request.
package struct AnswerTimes {
    /// Of tokens, or of pieces of several.
    var times: [Double] = []
    var tokens = 0

    /// Tokens a second between the first and the last; nil of fewer than two.
    var rate: Double? {
        guard let first = times.first, let last = times.last, tokens > 1, last > first else { return nil }
        return Double(tokens - 1) / (last - first)
    }
}

struct ContenderError: Error, CustomStringConvertible {
    let description: String
}

extension Contender {
    /// What a workload comes to where answers can be watched token by token.
    ///
    /// - Parameter answer: asks for that many tokens behind a prompt.
    package func rate(
        of workload: Workload, prompts: [[Int32]],
        answer: @escaping @Sendable (_ prompt: [Int32], _ tokens: Int) async throws -> AnswerTimes
    ) async throws -> Double? {
        switch workload {
        case .prompt(let tokens):
            return try await answer(prompts[0], 1).times.first.map { Double(tokens) / $0 }
        case .answer(let tokens, _):
            return try await answer(prompts[0], tokens + 1).rate
        case .concurrent:
            let clock = ContinuousClock()
            let start = clock.now
            let tokens = try await withThrowingTaskGroup(of: Int.self) { group in
                for prompt in prompts {
                    group.addTask { try await answer(prompt, Workload.concurrentLength).tokens }
                }
                return try await group.reduce(0, +)
            }
            return Double(tokens) / ((clock.now - start) / .seconds(1))
        }
    }
}
