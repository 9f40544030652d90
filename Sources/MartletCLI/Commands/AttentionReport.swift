// SPDX-License-Identifier: Apache-2.0

import Foundation
import MartletAttention
import MartletBench
import MartletCPU

/// The figures of `bench attention`, as they are written to a file.
struct AttentionReport: Encodable {
    let device: String
    let numHeads: Int
    let numKvHeads: Int
    let headSize: Int
    let kvCacheDtype: String
    let blockSize: Int
    let blocks: String
    let window: Int?
    let numIters: Int
    let results: [AttentionReportEntry]

    init(device: CPUDevice, command: BenchAttentionCommand, results: [AttentionReportEntry]) {
        self.device = device.name
        numHeads = command.numHeads
        numKvHeads = command.numKvHeads
        headSize = command.headSize
        kvCacheDtype = command.cacheFormat(on: device).rawValue
        blockSize = command.blockSize
        blocks = command.blocks.rawValue
        window = command.window
        numIters = command.numIters
        self.results = results
    }

    enum CodingKeys: String, CodingKey {
        case device, blocks, window, results
        case numHeads = "num_heads"
        case numKvHeads = "num_kv_heads"
        case headSize = "head_size"
        case kvCacheDtype = "kv_cache_dtype"
        case blockSize = "block_size"
        case numIters = "num_iters"
    }
}

/// One launch's figures for one step. Times are a layer's.
struct AttentionReportEntry: Encodable {
    let step: String
    let isDecode: Bool
    let launch: String
    let layers: Int
    let rotatedBytes: Int
    let medianMs: Double
    let minMs: Double
    let maxMs: Double
    let gigabytesPerSecond: Double
    let blockReadGigabytesPerSecond: Double
    let sequentialReadGigabytesPerSecond: Double
    let gigaflopsPerSecond: Double
    let multiplyPeakGigaflopsPerSecond: Double
    /// What the step takes as a multiple of what its parts take alone, one after the other.
    var multipleOfParts: Double?

    init(_ report: AttentionBenchmark.Report, launch: AttentionLaunch, _ result: AttentionBenchmark.Result) {
        step = report.workload.groups.map(\.description).joined(separator: " + ")
        isDecode = report.workload.isDecode
        self.launch = launch.rawValue
        layers = report.layers
        rotatedBytes = report.rotatedBytes
        medianMs = result.timings.median * 1e3
        minMs = result.timings.minimum * 1e3
        maxMs = result.timings.maximum * 1e3
        gigabytesPerSecond = result.bytesPerSecond / 1e9
        blockReadGigabytesPerSecond = report.limits.blockRead / 1e9
        sequentialReadGigabytesPerSecond = report.limits.sequentialRead / 1e9
        gigaflopsPerSecond = result.operationsPerSecond / 1e9
        multiplyPeakGigaflopsPerSecond = report.limits.multiply / 1e9
    }

    enum CodingKeys: String, CodingKey {
        case step, launch, layers
        case isDecode = "is_decode"
        case rotatedBytes = "rotated_bytes"
        case medianMs = "median_ms"
        case minMs = "min_ms"
        case maxMs = "max_ms"
        case gigabytesPerSecond = "gigabytes_per_s"
        case blockReadGigabytesPerSecond = "block_read_gigabytes_per_s"
        case sequentialReadGigabytesPerSecond = "sequential_read_gigabytes_per_s"
        case gigaflopsPerSecond = "gigaflops_per_s"
        case multiplyPeakGigaflopsPerSecond = "multiply_peak_gigaflops_per_s"
        case multipleOfParts = "multiple_of_parts"
    }

    /// For people: decodes against what can be read, all else against what can be multiplied.
    static func table(_ entries: [AttentionReportEntry]) -> Table {
        var table = Table()
        table.add(
            "query x KV", "launch", "ms a layer (min … max)", "rate", "of block read", "of read in order", "of peak",
            "of parts")
        table.legend = [
            "query x KV": "new tokens of a sequence and its length with them; + joins the groups of one step",
            "of block read": "a decode's bytes a second, as a share of reading the same blocks and computing nothing",
            "of read in order": "the same, of reading memory in order",
            "of peak": "operations a second of any other step, as a share of what the multipliers do at most",
            "of parts": "the time of the joined step, over the sum of its parts' times alone",
        ]
        for entry in entries {
            func percent(_ value: Double, _ limit: Double) -> String { String(format: "%.0f %%", 100 * value / limit) }
            let bytes = entry.gigabytesPerSecond
            table.add(
                entry.step, entry.launch,
                String(format: "%.3f (%.3f … %.3f)", entry.medianMs, entry.minMs, entry.maxMs),
                entry.isDecode
                    ? String(format: "%.1f GB/s", bytes) : String(format: "%.0f GFLOP/s", entry.gigaflopsPerSecond),
                entry.isDecode
                    ? "\(percent(bytes, entry.blockReadGigabytesPerSecond)) of \(Int(entry.blockReadGigabytesPerSecond.rounded()))"
                    : "",
                entry.isDecode
                    ? "\(percent(bytes, entry.sequentialReadGigabytesPerSecond)) of \(Int(entry.sequentialReadGigabytesPerSecond.rounded()))"
                    : "",
                entry.isDecode
                    ? ""
                    : "\(percent(entry.gigaflopsPerSecond, entry.multiplyPeakGigaflopsPerSecond)) of \(Int(entry.multiplyPeakGigaflopsPerSecond.rounded()))",
                entry.multipleOfParts.map { String(format: "%.2f", $0) } ?? "")
        }
        return table
    }
}
