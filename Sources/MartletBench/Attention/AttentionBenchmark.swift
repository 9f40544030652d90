// SPDX-License-Identifier: Apache-2.0

import Glibc
package import MartletAttention
package import MartletCPU
import MartletCompute

/// Times attention layers, and beside them the limits that they are up against, in turn.
package final class AttentionBenchmark {
    /// What one launch took.
    package struct Result: Sendable {
        /// The time of one layer.
        package let timings: Timings
        /// K and V seen a second.
        package let bytesPerSecond: Double
        package let operationsPerSecond: Double
    }

    /// What the machine did between the runs.
    package struct Limits: Sendable {
        /// A bare prefetched read of the same blocks.
        package let blockRead: Double
        /// A read of the same memory in order.
        package let sequentialRead: Double
        /// Products of the kind that the kernel takes, from registers, in operations a second.
        package let multiply: Double
    }

    /// What all launches of a workload took, and what the machine could do meanwhile.
    package struct Report: Sendable {
        package let workload: AttentionWorkload
        package let results: [(launch: AttentionLaunch, result: Result)]
        package let limits: Limits
        /// Layers whose caches were gone through in turn, and what they hold.
        package let layers: Int
        package let rotatedBytes: Int
    }

    /// No cache of a processor holds so much.
    package static let rotatedBytes = 256 << 20
    /// A run goes through as many layers as do about these, or through all.
    private static let operationsPerRun = 1 << 30

    private let device: CPUDevice
    private let workload: AttentionWorkload
    private let attention: IsolatedAttention
    private let layers: Int
    private let layersPerRun: Int

    /// - Parameter rotating: bytes of cache to go through, at least.
    package init(
        _ workload: AttentionWorkload, rotating bytes: Int = AttentionBenchmark.rotatedBytes, on device: CPUDevice
    ) throws {
        self.device = device
        self.workload = workload
        let heads = workload.parameters.heads
        func shape(layers: Int) -> CacheShape {
            CacheShape(
                layers: layers, keyValueHeads: heads.keyValueHeads, headSize: heads.headSize,
                blockSize: workload.blockSize, blockCount: workload.blockCount, format: workload.format)
        }
        layers = (bytes - 1) / max(1, try device.byteCount(of: shape(layers: 1))) + 1
        // Activations in the workspace, and twice more while they are made and copied there.
        let activations = workload.tokens * (heads.queryKeyValueColumns + heads.outputColumns) * 4 * 3
        let (cache, available) = (try device.byteCount(of: shape(layers: layers)), Self.memoryBytes)
        guard cache < available, activations < available - cache else {
            throw DeviceError(
                code: .outOfMemory,
                message: """
                    the benchmark needs \(cache >> 20) MB of cache and \(activations >> 20) MB of activations; this \
                    machine has \(available >> 20) MB in all
                    """)
        }
        layersPerRun = min(layers, max(1, Self.operationsPerRun / max(1, workload.operations)))
        attention = try IsolatedAttention(
            workload.parameters, shape: shape(layers: layers),
            capacity: BatchCapacity(
                tokens: max(workload.tokens, 256), sequences: workload.sequenceCount,
                blocksPerSequence: workload.blocksPerSequence, logitRows: 1),
            on: device)
        try fill()
    }

    private static var memoryBytes: Int { sysconf(Int32(_SC_PHYS_PAGES)) * sysconf(Int32(_SC_PAGESIZE)) }

    /// Random numbers; few of them, over and over, because only their places matter.
    private func fill() throws {
        var random = SystemRandomNumberGenerator()
        func numbers(_ count: Int) -> [Float] { (0..<count).map { _ in Float.random(in: -1.7...1.7, using: &random) } }
        let heads = workload.parameters.heads
        let columns = heads.keyValueHeads * heads.headSize
        let (rows, slots) = (256, workload.blockCount * workload.blockSize)
        let (keys, values) = (numbers(rows * columns), numbers(rows * columns))
        for layer in 0..<layers {
            for start in stride(from: 0, to: slots, by: rows) {
                let part = start..<min(start + rows, slots)
                try attention.store(
                    keys: Array(keys.prefix(part.count * columns)), values: Array(values.prefix(part.count * columns)),
                    slots: part.map(Int64.init), layer: layer)
            }
        }
        var blocks = Array(Int32(0)..<Int32(workload.blockCount))
        if workload.blockOrder == .random { blocks.shuffle(using: &random) }
        var free = blocks[...]
        attention.prepare(
            workload.groups.flatMap { group in
                (0..<group.count).map { _ in
                    let count = (group.length + workload.blockSize - 1) / workload.blockSize
                    defer { free = free.dropFirst(count) }
                    return IsolatedAttention.Sequence(
                        queryLength: group.queryLength, length: group.length, blockTable: Array(free.prefix(count)))
                }
            })
        try attention.setQueries(numbers(workload.tokens * heads.outputColumns))
    }

    /// - Parameters:
    ///   - launches: timed in turn.
    ///   - progress: called with the fraction done.
    package func run(
        launches: [AttentionLaunch], iterations: Int, warmup: Int, progress: (Double) -> Void = { _ in }
    ) throws -> Report {
        var timings = launches.map { _ in Timings() }
        var (blockRead, sequentialRead, multiply) = (Timings(), Timings(), Timings())
        var (blockBytes, sequentialBytes, operations) = (0, 0, 0)
        let product = workload.parameters.product(beside: workload.format)
        let planners = launches.map { attention.planner(splits: $0.splits(isFullGraph: true)) }
        for iteration in 0..<warmup + iterations {
            for (index, planner) in planners.enumerated() {
                // Each launch goes on where the last one stopped, so that none finds a cache warmed for it.
                let turn = (iteration * planners.count + index) % (layers / layersPerRun)
                let range = turn * layersPerRun..<(turn + 1) * layersPerRun
                planner.plan(attention.batch)
                try attention.compile(layers: range)
                if iteration < warmup {
                    try attention.runPlanned(layers: range)
                } else {
                    try timings[index].measure { try attention.runPlanned(layers: range) }
                }
            }
            guard iteration >= warmup else { continue }
            blockBytes = try blockRead.measure {
                try device.readBlocks(of: attention.batch, cache: attention.cache, layers: 0..<layers)
            }
            sequentialBytes = sequentialRead.measure { device.readInOrder(attention.cache) }
            operations = multiply.measure { device.multiply(product, repetitions: 1 << 18) }
            progress(Double(iteration + 1) / Double(warmup + iterations))
        }
        let count = Double(layersPerRun)
        return Report(
            workload: workload,
            results: zip(launches, timings).map { launch, timings in
                let perLayer = timings.scaled(by: 1 / count)
                return (
                    launch,
                    Result(
                        timings: perLayer, bytesPerSecond: Double(workload.visibleBytes) / perLayer.median,
                        operationsPerSecond: Double(workload.operations) / perLayer.median)
                )
            },
            limits: Limits(
                blockRead: Double(blockBytes) / blockRead.median,
                sequentialRead: Double(sequentialBytes) / sequentialRead.median,
                multiply: Double(operations) / multiply.median),
            layers: layers, rotatedBytes: try device.byteCount(of: attention.cache.shape))
    }
}
