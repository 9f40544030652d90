// SPDX-License-Identifier: Apache-2.0

import Foundation
import MartletBench

extension [VariantResult] {
    /// Medians with their spread, each beside the first variant's of its length.
    var table: Table {
        var table = Table()
        table.add(
            "tokens", "prefix", "variant", "median", "least to most", "of the first", "of multipliers", "of memory")
        table.legend = [
            "prefix": "whether the prefix cache held the prompt's beginning",
            "of the first": "the median, over that of the first variant of the same length and prefix",
            "of multipliers, of memory":
                "work done a second and bytes read a second, as shares of what the multipliers do and of what is read in order at most",
        ]
        for result in self {
            let first = self.first { $0.length == result.length && $0.prefix == result.prefix } ?? result
            table.add(
                "\(result.length)", result.prefix?.rawValue ?? "-", result.variant.name,
                result.timings.median.formattedSeconds,
                "\(result.timings.minimum.formattedSeconds) to \(result.timings.maximum.formattedSeconds)",
                String(format: "%.3f", result.timings.median / first.timings.median),
                result.share?.formattedMultiply ?? "", result.share?.formattedRead ?? "")
        }
        return table
    }

    /// A panel for each prefix state, a line for each variant.
    func plot(title: String, xLabel: String) -> LinePlot {
        var states: [PrefixState?] = []
        for result in self where !states.contains(result.prefix) { states.append(result.prefix) }
        let panels = states.map { state in
            let results = filter { $0.prefix == state }
            var variants: [EngineVariant] = []
            for result in results where !variants.contains(result.variant) { variants.append(result.variant) }
            let series = variants.map { variant in
                LinePlot.Series(
                    name: variant.name,
                    points: results.filter { $0.variant == variant }.map {
                        LinePlot.Point(
                            x: Double($0.length), y: $0.timings.median,
                            range: $0.timings.minimum...$0.timings.maximum)
                    })
            }
            return LinePlot.Panel(title: state.map { "\($0.rawValue) prefix" } ?? "", series: series)
        }
        return LinePlot(title: title, xLabel: xLabel, yLabel: "seconds (median; bar: least to most)", panels: panels)
    }
}

extension LimitShare {
    /// For people: against the multipliers' peak, and against a read of memory in order.
    var formattedMultiply: String { String(format: "%.0f %%", 100 * multiply) }
    var formattedRead: String { String(format: "%.0f %% of %.0f GB/s", 100 * read, limits.read / 1e9) }
}

extension Double {
    /// Seconds for people.
    fileprivate var formattedSeconds: String {
        self < 1 ? String(format: "%.1f ms", self * 1e3) : String(format: "%.3f s", self)
    }
}
