// SPDX-License-Identifier: Apache-2.0

/// What one variant took at one length, with vLLM's keys and some of our own.
package struct LatencyEntry: Encodable, Sendable {
    /// As numpy's, which vLLM uses: between two values there is a straight line.
    private static let percents = [10, 25, 50, 75, 90, 99]

    package let averageLatency: Double
    package let latencies: [Double]
    package let percentiles: [String: Double]
    package let graphMode: String
    package let attentionLaunch: String
    package let inputLength: Int
    package let outputLength: Int
    /// nil where the batch is what the benchmark's name says.
    package let batchSize: Int?
    package let prefix: String?
    package let share: LimitShare?

    package init(_ result: VariantResult, outputLength: Int, batchSize: Int? = nil) {
        let timings = result.timings
        latencies = timings.seconds
        averageLatency = timings.seconds.reduce(0, +) / Double(max(1, timings.seconds.count))
        percentiles = Dictionary(
            uniqueKeysWithValues: Self.percents.map { ("\($0)", timings.quantile(Double($0) / 100)) })
        graphMode = result.variant.graphMode.rawValue
        attentionLaunch = result.variant.attentionLaunch.rawValue
        inputLength = result.length
        self.outputLength = outputLength
        self.batchSize = batchSize
        prefix = result.prefix?.rawValue
        share = result.share
    }

    private enum CodingKeys: String, CodingKey {
        case averageLatency = "avg_latency"
        case latencies, percentiles
        case graphMode = "cudagraph_mode"
        case attentionLaunch = "attention_launch"
        case inputLength = "input_len"
        case outputLength = "output_len"
        case batchSize = "batch_size"
        case prefix
        case share = "of_limits"
    }
}

/// All entries of a run. One alone is written as vLLM writes it.
package struct LatencyReport: Encodable, Sendable {
    package let entries: [LatencyEntry]

    package init(_ entries: [LatencyEntry]) { self.entries = entries }

    private enum CodingKeys: String, CodingKey { case results }

    package func encode(to encoder: any Encoder) throws {
        if entries.count == 1 { return try entries[0].encode(to: encoder) }
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(entries, forKey: .results)
    }
}
