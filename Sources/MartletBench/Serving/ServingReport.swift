// SPDX-License-Identifier: Apache-2.0

import Foundation

/// Figures of a serving benchmark under the names of vLLM's `bench serve`.
package struct ServingReport: Sendable {
    /// What is measured of each request.
    package enum Measure: String, Sendable, CaseIterable {
        case ttft, tpot, itl, e2el

        /// For people.
        package var title: String {
            switch self {
            case .ttft: "Time to first token"
            case .tpot: "Time per output token (without the first)"
            case .itl: "Inter-token latency"
            case .e2el: "End-to-end latency"
            }
        }
    }

    /// Milliseconds that a request may take of a measure to count as good.
    package typealias Goodput = [Measure: Double]

    package let outcomes: [ServingOutcome]
    package let seconds: Double
    package let goodput: Goodput
    /// What the caller wants said of the run: its settings.
    package var settings: [(name: String, value: JSONScalar)] = []
    /// Seconds of the probes that were sent beside the load.
    package var probes: [Double] = []
    package let completed: [ServingOutcome]

    package init(outcomes: [ServingOutcome], seconds: Double, goodput: Goodput = [:]) {
        self.outcomes = outcomes
        self.seconds = seconds
        self.goodput = goodput
        completed = outcomes.filter { $0.error == nil }
    }

    package var inputTokens: Int { completed.reduce(0) { $0 + $1.inputTokens } }
    package var outputTokens: Int { completed.reduce(0) { $0 + $1.outputTokens } }

    /// Over all requests that were answered, in milliseconds.
    package func timings(_ measure: Measure) -> Timings {
        var timings = Timings()
        for outcome in completed {
            let values: [Double] =
                switch measure {
                case .ttft: [outcome.timeToFirstToken].compactMap(\.self)
                case .tpot: [outcome.timePerOutputToken].compactMap(\.self)
                case .itl: outcome.interTokenLatencies
                case .e2el: [outcome.endToEndLatency].compactMap(\.self)
                }
            for value in values { timings.append(value * 1000) }
        }
        return timings
    }

    /// The probes' times, in milliseconds.
    package var probeTimings: Timings {
        var timings = Timings()
        for probe in probes { timings.append(probe * 1000) }
        return timings
    }

    /// Requests a second that met all of the goodput's conditions; nil where there are none.
    package var requestGoodput: Double? {
        guard !goodput.isEmpty else { return nil }
        let good = completed.filter { outcome in
            goodput.allSatisfy { measure, limit in
                let value: Double? =
                    switch measure {
                    case .ttft: outcome.timeToFirstToken
                    case .tpot: outcome.timePerOutputToken ?? 0
                    case .itl: outcome.interTokenLatencies.max() ?? 0
                    case .e2el: outcome.endToEndLatency
                    }
                return value.map { $0 * 1000 <= limit } ?? false
            }
        }
        return Double(good.count) / seconds
    }

    /// Pieces of answers that came within the busiest second, and most requests that were open at once.
    package var peaks: (tokensPerSecond: Int, requests: Int) {
        var buckets: [Int: Int] = [:]
        for time in completed.flatMap(\.times) { buckets[Int(time), default: 0] += 1 }
        let ends = completed.flatMap { outcome in [(outcome.start, 1), (outcome.times.last ?? outcome.start, -1)] }
        var (open, most) = (0, 0)
        for (_, change) in ends.sorted(by: { $0 < $1 }) {
            open += change
            most = max(most, open)
        }
        return (buckets.values.max() ?? 0, most)
    }
}

/// A plain value of a JSON report.
package enum JSONScalar: Encodable, Sendable, Equatable {
    case text(String)
    case number(Double)
    case integer(Int)
    case none

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .text(let value): try container.encode(value)
        case .number(let value): try container.encode(value)
        case .integer(let value): try container.encode(value)
        case .none: try container.encodeNil()
        }
    }
}

extension ServingReport {
    private struct Key: CodingKey {
        let stringValue: String
        var intValue: Int? { nil }
        init(_ name: String) { stringValue = name }
        init?(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }

    /// As vLLM writes it.
    ///
    /// - Parameters:
    ///   - measures: those whose percentiles are told.
    ///   - isDetailed: whether each request is listed.
    package func json(measures: [Measure], percentiles: [Double], isDetailed: Bool) -> some Encodable & Sendable {
        Document(report: self, measures: measures, percentiles: percentiles, isDetailed: isDetailed)
    }

    private struct Document: Encodable, Sendable {
        let report: ServingReport
        let measures: [Measure]
        let percentiles: [Double]
        let isDetailed: Bool

        func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: Key.self)
            for (name, value) in report.settings { try container.encode(value, forKey: Key(name)) }
            try container.encode(report.seconds, forKey: Key("duration"))
            try container.encode(report.completed.count, forKey: Key("completed"))
            try container.encode(report.outcomes.count - report.completed.count, forKey: Key("failed"))
            try container.encode(report.inputTokens, forKey: Key("total_input_tokens"))
            try container.encode(report.outputTokens, forKey: Key("total_output_tokens"))
            let rates: [(String, Double?)] = [
                ("request_throughput", Double(report.completed.count)),
                ("output_throughput", Double(report.outputTokens)),
                ("total_token_throughput", Double(report.inputTokens + report.outputTokens)),
            ]
            for (name, count) in rates { try container.encode(count.map { $0 / report.seconds }, forKey: Key(name)) }
            try container.encode(report.requestGoodput, forKey: Key("request_goodput"))
            let peaks = report.peaks
            try container.encode(peaks.tokensPerSecond, forKey: Key("max_output_tokens_per_s"))
            try container.encode(peaks.requests, forKey: Key("max_concurrent_requests"))
            for measure in Measure.allCases { try encode(measure, to: &container) }
            if !report.probes.isEmpty {
                let probes = report.probeTimings
                try container.encode(probes.median, forKey: Key("median_probe_ms"))
                try container.encode(probes.quantile(0.99), forKey: Key("p99_probe_ms"))
            }
            if isDetailed { try encodeRequests(to: &container) }
        }

        private func encode(_ measure: Measure, to container: inout KeyedEncodingContainer<Key>) throws {
            let timings = report.timings(measure)
            guard !timings.seconds.isEmpty else { return }
            let name = "\(measure.rawValue)_ms"
            try container.encode(timings.mean, forKey: Key("mean_\(name)"))
            try container.encode(timings.median, forKey: Key("median_\(name)"))
            try container.encode(timings.standardDeviation, forKey: Key("std_\(name)"))
            guard measures.contains(measure) else { return }
            for percentile in percentiles {
                try container.encode(
                    timings.quantile(percentile / 100), forKey: Key("p\(percentile.percentName)_\(name)"))
            }
        }

        private func encodeRequests(to container: inout KeyedEncodingContainer<Key>) throws {
            let outcomes = report.outcomes
            try container.encode(outcomes.map(\.inputTokens), forKey: Key("input_lens"))
            try container.encode(outcomes.map(\.outputTokens), forKey: Key("output_lens"))
            try container.encode(outcomes.map { $0.timeToFirstToken ?? 0 }, forKey: Key("ttfts"))
            try container.encode(outcomes.map(\.interTokenLatencies), forKey: Key("itls"))
            try container.encode(outcomes.map(\.start), forKey: Key("start_times"))
            try container.encode(outcomes.map(\.text), forKey: Key("generated_texts"))
            try container.encode(outcomes.map { $0.error ?? "" }, forKey: Key("errors"))
        }
    }
}

extension Double {
    /// `99`, `99.9`.
    package var percentName: String { Int(exactly: self).map { "\($0)" } ?? "\(self)" }
}
