// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import MartletAttention
import MartletBench
import MartletCPU
import MartletCompute

struct BenchAttentionCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "attention", abstract: "One attention layer, by query and KV length.",
        discussion: """
            Times a layer over 256 MB of cache or more, so that no processor cache holds it, and in turn with it a \
            bare read of the same cache blocks, a read in order, and products from registers (GFLOP/s). Decodes are \
            held against the reads, all else against the products. Lists are separated by commas. --beside adds a \
            sequence to each step, times the parts alone as well, and states what they take together as a multiple \
            of their sum ("of parts"). What fits a processor cache, a few KB a layer, may read faster than the bare \
            read does.
            """)

    @OptionGroup var device: DeviceOptions

    @Option(help: "Query tokens of a sequence, up to 65536 a step: 1 is a decode, all of its KV tokens a whole prompt.")
    var queryLen = Numbers([1])

    @Option(help: "KV tokens of a sequence, its query tokens included; up to 4194304.")
    var kvLen = Numbers([16384])

    @Option(help: "Sequences in a step.")
    var batchSize = Numbers([1])

    @Option(help: "One more sequence in each step, as QUERYxKV: 16x16 is a prompt of 16 tokens.")
    var beside: Shape?

    @Option(parsing: .unconditional, help: "Query heads.")
    var numHeads = 9

    @Option(parsing: .unconditional, help: "KV heads.")
    var numKvHeads = 3

    @Option(parsing: .unconditional, help: "Elements of a head.")
    var headSize = 64

    @Option(help: "What the cache keeps.")
    var kvCacheDtype = CacheDtype.auto

    @Option(parsing: .unconditional, help: "Tokens in a cache block.")
    var blockSize = 16

    @Option(help: "Where a sequence's blocks lie: random or ascending.")
    var blocks = AttentionWorkload.BlockOrder.random

    @Option(parsing: .unconditional, help: "Keys that a query sees, itself included; all by default.")
    var window: Int?

    @Option(help: "Launches to time in turn: unified, split, auto.")
    var launch = ArgumentList<AttentionLaunch>([.unified, .split])

    @Option(parsing: .unconditional, help: "Timed runs.")
    var numIters = 15

    @Option(parsing: .unconditional, help: "Runs before them.")
    var numItersWarmup = 2

    @Option(help: "A file for the figures.", completion: .file())
    var outputJson: String?

    func validate() throws {
        guard (1...1024).contains(numHeads), (1...numHeads).contains(numKvHeads), numHeads % numKvHeads == 0 else {
            throw ValidationError(
                "--num-heads is \(numHeads); it must be a multiple of --num-kv-heads, \(numKvHeads) here, up to 1024")
        }
        try require("--num-iters", numIters, in: 1...1000)
        try require("--num-iters-warmup", numItersWarmup, in: 0...1000)
        try require("--window", window, in: 1...Int(Int32.max))
        guard CPUDevice.allows(headSize: headSize) else {
            throw ValidationError("--head-size is \(headSize); it must be \(CPUDevice.headSizeRule)")
        }
        guard CacheShape.allows(blockSize: blockSize) else {
            throw ValidationError("--block-size is \(blockSize); it must be \(CacheShape.blockSizeRule)")
        }
        guard (queryLen.values.max() ?? 1) * (batchSize.values.max() ?? 1) + (beside?.query ?? 0) <= 1 << 16,
            (batchSize.values.max() ?? 1) <= 4096
        else { throw ValidationError("a step has at most 65536 query tokens and 4096 sequences") }
        for shape in shapes where shape.query > shape.keys {
            throw ValidationError("\(shape.query) query tokens need as many KV tokens, not \(shape.keys)")
        }
    }

    func cacheFormat(on device: CPUDevice) -> CacheFormat { kvCacheDtype.format ?? device.defaultCacheFormat }

    private var shapes: [Shape] {
        queryLen.values.flatMap { query in kvLen.values.map { Shape(query: query, keys: $0) } }
            + (beside.map { [$0] } ?? [])
    }

    func run() throws {
        if let outputJson { try Terminal.requireWritable(outputJson) }
        let device = try device.makeDevice()
        var entries: [AttentionReportEntry] = []
        for query in queryLen.values {
            for keys in kvLen.values {
                for count in batchSize.values {
                    let group = AttentionWorkload.Group(queryLength: query, length: keys, count: count)
                    entries += try measure([group], on: device)
                }
            }
        }
        Terminal.write("\(device.name), \(numHeads) query heads, \(numKvHeads) KV heads of \(headSize), ")
        Terminal.write("\(cacheFormat(on: device).rawValue) cache, \(blocks.rawValue) blocks of \(blockSize)\n")
        Terminal.write(AttentionReportEntry.table(entries).text)
        if let outputJson {
            try Terminal.writeJSON(
                AttentionReport(device: device, command: self, results: entries), to: outputJson)
        }
    }

    private func measure(_ groups: [AttentionWorkload.Group], on device: CPUDevice) throws -> [AttentionReportEntry] {
        guard let beside else { return try time(groups, on: device) }
        let other = AttentionWorkload.Group(queryLength: beside.query, length: beside.keys)
        let (first, second) = (try time(groups, on: device), try time([other], on: device))
        let together = try time(groups + [other], on: device).enumerated().map { index, entry in
            var entry = entry
            entry.multipleOfParts = entry.medianMs / (first[index].medianMs + second[index].medianMs)
            return entry
        }
        return first + second + together
    }

    private func time(_ groups: [AttentionWorkload.Group], on device: CPUDevice) throws -> [AttentionReportEntry] {
        let heads = AttentionHeads(queryHeads: numHeads, keyValueHeads: numKvHeads, headSize: headSize)
        var parameters = AttentionParameters(heads: heads, scale: 1 / Float(headSize).squareRoot())
        if let window { parameters.visibility.scope = .window(window) }
        let workload = AttentionWorkload(
            parameters, format: cacheFormat(on: device), blockSize: blockSize, blockOrder: blocks, groups: groups)
        let bar = ProgressBar(title: groups.map(\.description).joined(separator: " + "))
        defer { bar.clear() }
        let report = try AttentionBenchmark(workload, on: device)
            .run(launches: launch.values, iterations: numIters, warmup: numItersWarmup) { bar.show($0) }
        return report.results.map { AttentionReportEntry(report, launch: $0.launch, $0.result) }
    }

    /// `QUERYxKV`.
    struct Shape: ExpressibleByArgument {
        let query: Int
        let keys: Int
        init(query: Int, keys: Int) { (self.query, self.keys) = (query, keys) }
        init?(argument: String) {
            let parts = argument.split(separator: "x", omittingEmptySubsequences: false).map { Int($0) ?? 0 }
            guard parts.count == 2, parts.allSatisfy({ (1...(1 << 22)).contains($0) }) else { return nil }
            self.init(query: parts[0], keys: parts[1])
        }
    }
}

extension AttentionWorkload.BlockOrder: ExpressibleByArgument {}
