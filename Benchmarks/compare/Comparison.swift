// SPDX-License-Identifier: Apache-2.0

import Foundation
import Martlet
import MartletBench

/// Runs workloads on contenders in turn, round after round, so that what the machine does meanwhile meets all alike.
package struct Comparison {
    let contenders: [any Contender]
    let workloads: [Workload]
    let rounds: Int
    /// Fresh prompts of ordinary tokens, never the same twice: no cache may know them.
    let prompts: (_ workload: Workload) -> [[Int32]]

    package init(
        contenders: [any Contender], workloads: [Workload], rounds: Int,
        prompts: @escaping (_ workload: Workload) -> [[Int32]]
    ) {
        self.contenders = contenders
        self.workloads = workloads
        self.rounds = rounds
        self.prompts = prompts
    }

    /// - Parameters:
    ///   - afterEach: called after each run with whose it was.
    package func run(
        afterEach: (_ workload: Workload, _ contender: Int, _ round: Int) async -> Void = { _, _, _ in }
    ) async throws -> [ComparisonResult] {
        var rates: [Workload: [[Double]]] = [:]
        for round in 0..<rounds {
            for workload in workloads {
                for turn in contenders.indices {
                    let index = (turn + round) % contenders.count
                    try await contenders[index].warmUp(workload, prompts: prompts(workload))
                    let rate = try await contenders[index].run(workload, prompts: prompts(workload))
                    if let rate {
                        rates[workload, default: contenders.map { _ in [] }][index].append(rate)
                    }
                    await afterEach(workload, index, round)
                }
            }
        }
        return workloads.map { workload in
            ComparisonResult(
                workload: workload.description,
                contenders: zip(contenders, rates[workload] ?? []).filter { !$1.isEmpty }.map {
                    ComparisonResult.Entry(contender: $0.name, tokensPerSecond: $1)
                })
        }
    }
}

/// What one workload came to.
package struct ComparisonResult: Encodable {
    package struct Entry: Encodable {
        let contender: String
        /// Of each round.
        package let tokensPerSecond: [Double]
        package let median: Double

        init(contender: String, tokensPerSecond: [Double]) {
            self.contender = contender
            self.tokensPerSecond = tokensPerSecond
            var timings = Timings()
            for rate in tokensPerSecond { timings.append(rate) }
            median = timings.median
        }

        enum CodingKeys: String, CodingKey {
            case contender, median
            case tokensPerSecond = "tokens_per_s"
        }
    }

    let workload: String
    /// The first one is Martlet.
    package let contenders: [Entry]
    /// Of Martlet, if limits were taken.
    var share: LimitShare?

    /// Martlet's median over each other's.
    package var ratios: [String: Double] {
        guard let first = contenders.first, first.contender == MartletEngine.name else { return [:] }
        return Dictionary(
            contenders.dropFirst().map { ($0.contender, first.median / $0.median) }, uniquingKeysWith: { old, _ in old }
        )
    }

    enum CodingKeys: String, CodingKey {
        case workload, contenders, ratios
        case share = "of_limits"
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(workload, forKey: .workload)
        try container.encode(contenders, forKey: .contenders)
        try container.encode(ratios, forKey: .ratios)
        try container.encodeIfPresent(share, forKey: .share)
    }

    /// Lines for people, columns aligned.
    package static func table(_ results: [ComparisonResult]) -> String {
        var rows = [
            ["workload", "engine", "tokens/s", "least to most", "Martlet's multiple", "of multipliers", "of memory"]
        ]
        for result in results {
            for (index, entry) in result.contenders.enumerated() {
                func number(_ value: Double?) -> String { value.map { String(format: "%.1f", $0) } ?? "-" }
                func percent(_ value: Double?) -> String {
                    index == 0 ? value.map { String(format: "%.0f %%", 100 * $0) } ?? "" : ""
                }
                rows.append([
                    index == 0 ? result.workload : "", entry.contender, number(entry.median),
                    "\(number(entry.tokensPerSecond.min())) to \(number(entry.tokensPerSecond.max()))",
                    result.ratios[entry.contender].map { String(format: "%.2f", $0) } ?? "",
                    percent(result.share?.multiply), percent(result.share?.read),
                ])
            }
        }
        let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        return rows.map { row in
            zip(row, widths).map { $0.padding(toLength: $1, withPad: " ", startingAt: 0) }.joined(separator: "  ")
                + "\n"
        }.joined()
    }
}
