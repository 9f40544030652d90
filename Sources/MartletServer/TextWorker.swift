// SPDX-License-Identifier: Apache-2.0

import Dispatch

/// A thread of its own for what takes long on hostile input: parsing, rendering, tokenizing. One at a time, so that
/// answers under way keep the others.
struct TextWorker: Sendable {
    private let queue = DispatchQueue(label: "martlet.text")

    func run<Result: Sendable>(_ work: @escaping @Sendable () throws -> Result) async throws -> Result {
        try await withCheckedThrowingContinuation { continuation in
            queue.async { continuation.resume(with: Swift.Result(catching: work)) }
        }
    }
}
