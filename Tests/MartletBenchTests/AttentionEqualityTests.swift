// SPDX-License-Identifier: Apache-2.0

import MartletCPU
import MartletCompute
import MartletTestSupport
import Testing

/// A row's bits depend on its own sequence alone: not on the launch, the batch, the chunks, the threads, the room for
/// partials or where its blocks lie. Everything that could be read stale is NaN before each run.
@Suite struct AttentionEqualityTests {
    private static let threadCounts = [1, 2, 3, 7]

    private func devices(_ instructionSet: InstructionSet, segmentLength: Int) throws -> [CPUDevice] {
        try Self.threadCounts.map {
            try CPUDevice(threads: $0, instructionSet: instructionSet, attentionSegmentLength: segmentLength)
        }
    }

    /// Every sequence alone, on one thread, as prefill tiles, all at once: what all other ways are held against.
    private func alone(
        _ sample: AttentionCase, on device: CPUDevice, _ random: inout SeededGenerator
    ) throws -> [[UInt32]] {
        try sample.sequences.map { sequence in
            var single = sample
            single.sequences = [sequence]
            return try single.run(AttentionCase.Way(), on: device, &random)[0]
        }
    }

    @Test(arguments: InstructionSet.available, 0..<4)
    func everyWayYieldsTheSameBits(_ instructionSet: InstructionSet, _ part: Int) throws {
        var random = SeededGenerator(UInt64(100 + part))
        for segmentLength in [64, 128, 512] {
            let devices = try devices(instructionSet, segmentLength: segmentLength)
            for _ in 0..<([.portable, .avx2].contains(instructionSet) ? 12 : 40) {
                let sample = AttentionCase.random([], &random)
                let expected = try alone(sample, on: devices[0], &random)
                for device in devices {
                    for way in ways(&random) {
                        // Said as a Bool: a failure should name the way, not print all the numbers.
                        let agrees = try sample.run(way, on: device, &random) == expected
                        #expect(agrees, "\(way), \(device.name), \(sample.parameters)")
                    }
                }
            }
        }
    }

    private func ways(_ random: inout SeededGenerator) -> [AttentionCase.Way] {
        let tiny = Int.random(in: 0...6, using: &random)
        let threshold = Int.random(in: 2...8, using: &random)
        return [
            AttentionCase.Way(shuffles: true),
            AttentionCase.Way(splits: true),
            AttentionCase.Way(splits: true, partials: tiny, shuffles: true),
            AttentionCase.Way(splits: true, decodeThreshold: threshold, shuffles: true),
            AttentionCase.Way(splits: true, decodeThreshold: 100),
            AttentionCase.Way(splits: true, shuffles: true, largestChunk: 7),
            AttentionCase.Way(splits: false, shuffles: true, largestChunk: 40),
        ]
    }

    /// Prefix ranges, query-query biases and keys after the query make a section of a sequence's new tokens: it is
    /// computed in one step, in any company.
    @Test(arguments: InstructionSet.available)
    func wholeSectionsYieldTheSameBits(_ instructionSet: InstructionSet) throws {
        var random = SeededGenerator(7)
        for segmentLength in [64, 512] {
            let devices = try devices(instructionSet, segmentLength: segmentLength)
            for _ in 0..<([.portable, .avx2].contains(instructionSet) ? 15 : 60) {
                let sample = AttentionCase.random(.wholeSections, &random)
                let expected = try alone(sample, on: devices[0], &random)
                for device in devices {
                    for way in ways(&random) where way.largestChunk == 0 {
                        // Said as a Bool: a failure should name the way, not print all the numbers.
                        let agrees = try sample.run(way, on: device, &random) == expected
                        #expect(agrees, "\(way), \(device.name), \(sample.parameters)")
                    }
                }
            }
        }
    }

    /// A window begins at every place of a tile and of a segment: each row as a decode of its own, against all of them
    /// as one prefill.
    @Test(arguments: [1, 2, 15, 16, 17, 63, 64, 65, 100, 127, 128, 129, 200], [CacheFormat.float(.bfloat16), .int16])
    func everyPhaseOfAWindow(_ window: Int, _ format: CacheFormat) throws {
        var random = SeededGenerator(UInt64(window))
        let heads = AttentionHeads(queryHeads: 3, keyValueHeads: 1, headSize: 64)
        var parameters = AttentionParameters(heads: heads, scale: 0.125)
        parameters.visibility.scope = .window(window)
        let length = 300
        let sample = AttentionCase(
            parameters: parameters, format: format, blockSize: 16,
            sequences: [
                AttentionCase.Sequence(
                    length: length, queryLength: length, queries: random.normals(length * heads.outputColumns),
                    keys: random.normals(length * heads.headSize), values: random.normals(length * heads.headSize))
            ])
        let device = try CPUDevice(threads: 2, attentionSegmentLength: 128)
        let expected = try sample.run(AttentionCase.Way(), on: device, &random)
        let chunked = try sample.run(AttentionCase.Way(splits: true, largestChunk: 1), on: device, &random)
        let agrees = chunked == expected
        #expect(agrees)
        for row in stride(from: 0, to: length, by: 37) {
            let columns = heads.outputColumns
            let found = expected[0][row * columns..<(row + 1) * columns].map { Double(Float(bitPattern: $0)) }
            for (a, b) in zip(found, sample.expected(sequence: 0, row: row)) { #expect(abs(a - b) < 0.02) }
        }
    }
}
