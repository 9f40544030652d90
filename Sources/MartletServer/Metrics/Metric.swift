// SPDX-License-Identifier: Apache-2.0

/// One metric with its present values, as Prometheus reads them.
struct Metric: Sendable {
    enum Kind: String, Sendable { case gauge, counter, histogram }

    struct Sample: Sendable {
        /// Behind the metric's name.
        var suffix = ""
        var labels: [(name: String, value: String)] = []
        var value: Double
    }

    let name: String
    let kind: Kind
    let help: String
    /// Names of the labels that each sample has beside those of all metrics.
    let labels: [String]
    let samples: [Sample]

    static func gauge(_ name: String, _ help: String, _ value: Double) -> Metric {
        Metric(name: name, kind: .gauge, help: help, labels: [], samples: [Sample(value: value)])
    }

    /// - Parameter name: without the `_total` that all counters end in.
    static func counter(_ name: String, _ help: String, _ value: Int) -> Metric {
        Metric(
            name: name, kind: .counter, help: help, labels: [],
            samples: [Sample(suffix: "_total", value: Double(value))])
    }

    /// A counter for each value of some labels.
    static func counter(_ name: String, _ help: String, by labels: [String], _ counts: [(values: [String], count: Int)])
        -> Metric
    {
        Metric(
            name: name, kind: .counter, help: help, labels: labels,
            samples: counts.map { entry in
                Sample(
                    suffix: "_total", labels: zip(labels, entry.values).map { (name: $0, value: $1) },
                    value: Double(entry.count))
            })
    }

    static func histogram(_ name: String, _ help: String, _ bounds: [Double], _ contents: Histogram.Contents) -> Metric
    {
        var (samples, total) = ([Sample](), 0)
        for (index, count) in contents.counts.enumerated() {
            total += count
            let bound = index < bounds.count ? "\(bounds[index])" : "+Inf"
            samples.append(Sample(suffix: "_bucket", labels: [("le", bound)], value: Double(total)))
        }
        samples.append(Sample(suffix: "_count", value: Double(total)))
        samples.append(Sample(suffix: "_sum", value: contents.sum))
        return Metric(name: name, kind: .histogram, help: help, labels: [], samples: samples)
    }

    static func histogram(_ name: String, _ help: String, _ histogram: Histogram) -> Metric {
        .histogram(name, help, histogram.bounds, histogram.current)
    }
}

/// Prometheus's text format, version 0.0.4.
struct PrometheusText {
    private(set) var text = ""

    /// - Parameter common: labels of every sample.
    init(_ metrics: [Metric], common: [(name: String, value: String)]) {
        for metric in metrics {
            let family = metric.kind == .counter ? "\(metric.name)_total" : metric.name
            text += "# HELP \(family) \(metric.help)\n# TYPE \(family) \(metric.kind.rawValue)\n"
            for sample in metric.samples {
                let labels = (common + sample.labels).map { "\($0.name)=\"\(Self.escaped($0.value))\"" }
                text +=
                    "\(metric.name)\(sample.suffix){\(labels.joined(separator: ","))} \(Self.number(sample.value))\n"
            }
        }
    }

    private static func number(_ value: Double) -> String {
        Int(exactly: value).map { "\($0)" } ?? "\(value)"
    }

    private static func escaped(_ value: String) -> String {
        value.reduce(into: "") { text, character in
            switch character {
            case "\\": text += "\\\\"
            case "\"": text += "\\\""
            case "\n": text += "\\n"
            default: text.append(character)
            }
        }
    }
}
