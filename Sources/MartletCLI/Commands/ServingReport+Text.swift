// SPDX-License-Identifier: Apache-2.0

import Foundation
import MartletBench

extension ServingReport {
    /// vLLM's lines.
    func text(measures: [Measure], percentiles: [Double]) -> String {
        func number(_ value: Double) -> String { value.isFinite ? String(format: "%.2f", value) : "-" }
        var totals = Table()
        totals.add("Successful requests", "\(completed.count)")
        totals.add("Failed requests", "\(outcomes.count - completed.count)")
        totals.add("Benchmark duration (s)", number(seconds))
        totals.add("Total input tokens", "\(inputTokens)")
        totals.add("Total generated tokens", "\(outputTokens)")
        totals.add("Request throughput (req/s)", number(Double(completed.count) / seconds))
        if let requestGoodput { totals.add("Request goodput (req/s)", number(requestGoodput)) }
        totals.add("Output token throughput (tok/s)", number(Double(outputTokens) / seconds))
        totals.add("Total token throughput (tok/s)", number(Double(inputTokens + outputTokens) / seconds))
        totals.add("Peak concurrent requests", "\(peaks.requests)")
        var table = Table()
        table.rows.append(["ms", "mean", "median", "std"] + percentiles.map { "p\($0.percentName)" })
        if !probes.isEmpty { table.legend = ["Probes": "small requests beside the others, at a rate of their own"] }
        func add(_ title: String, _ timings: Timings) {
            table.rows.append(
                [title, number(timings.mean), number(timings.median), number(timings.standardDeviation)]
                    + percentiles.map { number(timings.quantile($0 / 100)) })
        }
        for measure in measures { add(measure.title, timings(measure)) }
        if !probes.isEmpty { add("Probes", probeTimings) }
        return totals.text + "\n" + table.text
    }

    /// Each measure over its percentiles.
    var plot: LinePlot {
        let panels = Measure.allCases.compactMap { measure -> LinePlot.Panel? in
            let timings = timings(measure)
            guard !timings.seconds.isEmpty else { return nil }
            let points = stride(from: 1.0, through: 99, by: 2).map { percent in
                let value = timings.quantile(percent / 100)
                return LinePlot.Point(x: percent, y: value, range: value...value)
            }
            return LinePlot.Panel(
                title: measure.title, series: [LinePlot.Series(name: "requests", points: points)])
        }
        return LinePlot(
            title:
                "\(completed.count) requests, \(String(format: "%.0f", Double(outputTokens) / seconds)) output tokens/s",
            xLabel: "percentile", yLabel: "ms", panels: panels)
    }
}
