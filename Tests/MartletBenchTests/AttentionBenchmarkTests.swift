// SPDX-License-Identifier: Apache-2.0

import MartletAttention
import MartletBench
import MartletCPU
import MartletCompute
import Testing

@Suite struct AttentionBenchmarkTests {
    private func workload(_ groups: [AttentionWorkload.Group], window: Int? = nil) -> AttentionWorkload {
        var parameters = AttentionParameters(
            heads: AttentionHeads(queryHeads: 6, keyValueHeads: 2, headSize: 32), scale: 0.2)
        if let window { parameters.visibility.scope = .window(window) }
        return AttentionWorkload(
            parameters, format: .float(.bfloat16), blockSize: 16, blockOrder: .random, groups: groups)
    }

    @Test func countsWhatIsSeen() {
        let decode = workload([.init(queryLength: 1, length: 100, count: 3)])
        #expect(decode.isDecode && decode.tokens == 3 && decode.sequenceCount == 3)
        #expect(decode.visibleBytes == 3 * 100 * 2 * 32 * 2 * 2)
        #expect(decode.operations == 3 * 100 * 6 * 32 * 4)
        let prefill = workload([.init(queryLength: 4, length: 10)])
        #expect(!prefill.isDecode && prefill.operations == (7 + 8 + 9 + 10) * 6 * 32 * 4)
        let windowed = workload([.init(queryLength: 1, length: 100)], window: 20)
        #expect(windowed.visibleBytes == 20 * 2 * 32 * 2 * 2 && windowed.operations == 20 * 6 * 32 * 4)
    }

    @Test func reportsEveryLaunchBesideItsLimits() throws {
        let device = try CPUDevice(threads: 2)
        let benchmark = try AttentionBenchmark(
            workload([.init(queryLength: 1, length: 700), .init(queryLength: 5, length: 20)]), rotating: 1 << 20,
            on: device)
        let report = try benchmark.run(launches: [.unified, .split], iterations: 3, warmup: 1)
        #expect(report.results.map(\.launch) == [.unified, .split])
        #expect(report.layers > 1 && report.rotatedBytes >= 1 << 20)
        for (_, result) in report.results {
            #expect(result.timings.seconds.count == 3)
            #expect(result.timings.minimum <= result.timings.median && result.timings.median <= result.timings.maximum)
            #expect(result.bytesPerSecond > 0 && result.operationsPerSecond > 0)
        }
        #expect(report.limits.blockRead > 0 && report.limits.sequentialRead > 0 && report.limits.multiply > 0)
    }

    @Test func refusesMoreMemoryThanThereIs() throws {
        let device = try CPUDevice(threads: 1)
        #expect(throws: DeviceError.self) {
            try AttentionBenchmark(workload([.init(queryLength: 1, length: 1 << 22, count: 4096)]), on: device)
        }
    }

    @Test func mediansOfOddAndEvenCounts() {
        var timings = Timings()
        #expect(timings.median.isNaN)
        for _ in 0..<3 { timings.measure {} }
        #expect(timings.median == timings.seconds.sorted()[1])
        timings.measure {}
        let sorted = timings.seconds.sorted()
        #expect(timings.median == (sorted[1] + sorted[2]) / 2)
    }

    /// Products counted as they are done; bytes as the blocks hold them.
    @Test(arguments: InstructionSet.available) func limitsDoWhatTheySay(_ instructionSet: InstructionSet) throws {
        let device = try CPUDevice(threads: 3, instructionSet: instructionSet)
        #expect(device.multiply(.float32, repetitions: 10) == 3 * 10 * 12 * 16 * 2)
        #expect(device.multiply(.bfloat16, repetitions: 10) == 3 * 10 * 12 * 16 * 4)
        #expect(device.multiply(.int16, repetitions: 10) == 3 * 10 * 12 * 16 * 4)
        #expect(device.multiply(.int8, repetitions: 10) == 3 * 10 * 12 * 16 * 8)
        let attention = try IsolatedAttention(
            AttentionParameters(heads: AttentionHeads(queryHeads: 2, keyValueHeads: 2, headSize: 64), scale: 0.125),
            shape: CacheShape(layers: 2, keyValueHeads: 2, headSize: 64, blockSize: 16, blockCount: 40),
            capacity: BatchCapacity(tokens: 1, sequences: 1, blocksPerSequence: 40, logitRows: 1), on: device)
        attention.prepare([.init(queryLength: 1, length: 600, blockTable: (0..<38).map { Int32($0) })])
        #expect(
            try device.readBlocks(of: attention.batch, cache: attention.cache, layers: 0..<2)
                == 608 * 2 * (64 + 64) * 2 * 2)
        #expect(device.readInOrder(attention.cache) == 40 * 16 * 2 * (64 + 64) * 2 * 2)
    }
}
