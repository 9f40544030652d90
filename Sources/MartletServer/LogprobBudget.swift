// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// Logprobs that are kept for all answers that are being made.
final class LogprobBudget: Sendable {
    private let limit: Int
    private let held = Atomic<Int>(0)

    init(limit: Int) { self.limit = limit }

    /// A part of the budget, until it is let go of.
    final class Reservation: Sendable {
        private let budget: LogprobBudget
        private let entries: Int

        fileprivate init(_ budget: LogprobBudget, _ entries: Int) {
            self.budget = budget
            self.entries = entries
        }

        deinit { budget.held.wrappingSubtract(entries, ordering: .relaxed) }
    }

    func reserve(_ entries: Int) throws(ServerError) -> Reservation {
        let reservation = Reservation(self, entries)
        guard held.wrappingAdd(entries, ordering: .relaxed).newValue <= limit else {
            throw ServerError(
                .serviceUnavailable, "answers that are being made hold too many logprobs already; try again later",
                code: "overloaded")
        }
        return reservation
    }
}
