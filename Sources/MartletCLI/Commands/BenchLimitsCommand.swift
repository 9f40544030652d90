// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import MartletBench
import MartletCPU

struct BenchLimitsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "limits", abstract: "What this machine can do at best: reading memory, and multiplying.",
        discussion: """
            Memory is read in order, more of it than processors' caches hold, with huge pages where the system has them; \
            products come from registers. Threads and memory are those that the engine uses. Operations count a multiply and \
            an add each. Other benchmarks take the same limits beside what they measure.
            """)

    @OptionGroup var device: DeviceOptions

    @Option(parsing: .unconditional, help: "Samples of each limit.")
    var numIters = 30

    @Option(help: "Bytes to read, such as 1G; 256 MB by default.")
    var bytes: ByteCount?

    @Option(help: "A file for the figures.", completion: .file())
    var outputJson: String?

    func validate() throws {
        try require("--num-iters", numIters, in: 1...100_000)
        guard (1 << 20...1 << 40).contains(byteCount) else {
            throw ValidationError("--bytes is \(byteCount); it must be 1M to 1T")
        }
    }

    private var byteCount: Int { bytes?.value ?? LimitsBenchmark.byteCount }

    func run() throws {
        if let outputJson { try Terminal.requireWritable(outputJson) }
        let device = try device.makeDevice()
        let benchmark = try LimitsBenchmark(on: device, byteCount: byteCount)
        let bar = ProgressBar(title: "Limits")
        for iteration in 0..<numIters {
            benchmark.sample()
            bar.show(Double(iteration + 1) / Double(numIters))
        }
        bar.clear()
        var table = Table()
        table.add(device.name, "median", "least to most")
        table.legend = [
            "read in order": "memory read by all threads",
            "multiply": "products and sums in registers by all threads, as kernels of that type make them",
        ]
        func add(_ name: String, _ rates: Timings, unit: String) {
            func number(_ value: Double) -> String { String(format: "%.1f", value / 1e9) }
            table.add(
                name, "\(number(rates.median)) \(unit)", "\(number(rates.minimum)) to \(number(rates.maximum))")
        }
        add("read in order", benchmark.readRates, unit: "GB/s")
        add("multiply f32", benchmark.rates(of: .float32), unit: "GFLOP/s")
        add("multiply bf16", benchmark.rates(of: .bfloat16), unit: "GFLOP/s")
        add("multiply int16", benchmark.rates(of: .int16), unit: "GOP/s")
        add("multiply int8", benchmark.rates(of: .int8), unit: "GOP/s")
        Terminal.write(table.text)
        if let outputJson { try Terminal.writeJSON(benchmark.limits, to: outputJson) }
    }
}
