// SPDX-License-Identifier: Apache-2.0

import MartletCompute
import MartletReference
import MartletTestSupport
import Testing

/// Draws, logprobs and edits: the same tokens as the reference, where no two candidates are within rounding of the draw.
@Suite struct SamplingConformanceTests {
    @Test(arguments: DeviceUnderTest.all) func sample(_ device: DeviceUnderTest) throws {
        let columns = 517
        let logits = Tensor("logits", rows: .logitRows, columns: columns)
        var random = SeededGenerator(7)
        var rows: [SamplingRow] = []
        for seed in 0..<200 {
            var row = SamplingRow(
                temperature: seed % 7 == 0 ? 0 : 0.5 + Float(seed % 5) / 3, topK: [0, 0, 1, 5, 40][seed % 5],
                topP: [1, 0.9, 0.3, 1][seed % 4], minP: [0, 0, 0.05][seed % 3],
                key: DrawKey(seed: UInt64(seed), position: UInt32(seed)), target: Int32(seed % columns))
            row.topLogprobs = Int32(seed % 5)
            row.editedSequence = seed % 3 == 0 ? Int32(seed % 4) : -1
            (row.repetitionPenalty, row.presencePenalty, row.frequencyPenalty) = (1.3, 0.4, 0.2)
            rows.append(row)
        }
        var (drawn, differing) = (0, 0)
        for first in stride(from: 0, to: rows.count, by: 20) {
            var numbers = random.normals(20 * columns, scale: 3)
            numbers[columns] = .nan
            numbers[3 * columns + 5] = -.infinity
            for column in 0..<columns { numbers[7 * columns + column] = .nan }
            let run = KernelRun(
                tokens: 1, logitRows: Array(repeating: 0, count: 20), kernels: [.sample(logits: logits)],
                inputs: [(logits, numbers)]
            ) { batch in
                for row in 0..<20 { batch.sampling[row] = rows[first + row] }
                for sequence in 0..<4 {
                    batch.logitEdits.append(TokenBias(token: Int32(sequence * 9), bias: 2.5), to: sequence)
                    let counts = [TokenCount(token: 3, count: 2), TokenCount(token: 11, count: 0)]
                    counts.withUnsafeBufferPointer { batch.logitEdits.setCounts($0, of: sequence) }
                }
                let mask = (0..<9).map { UInt64(truncatingIfNeeded: 0x5bd1_e995_9d1b_899d &* UInt64($0 + 1)) }
                batch.logitEdits.setMask(mask, of: 3)
            }
            let expected = try run.output(logits, on: ReferenceDevice()).batch
            let found = try run.output(logits, on: device.make()).batch
            for row in 0..<20 {
                let (a, b) = (found.samples[row], expected.samples[row])
                drawn += 1
                differing += a.token == b.token ? 0 : 1
                Conformance.expect(abs(a.targetLogprob - b.targetLogprob) < 1e-4 || a.targetLogprob == b.targetLogprob)
                if a.token == b.token { Conformance.expect(abs(a.logprob - b.logprob) < 1e-4) }
                if rows[first + row].temperature == 0 { Conformance.expect(a.token == b.token) }
                for rank in 0..<Int(rows[first + row].topLogprobs) {
                    let (a, b) = (found.topLogprobs[row * 4 + rank], expected.topLogprobs[row * 4 + rank])
                    // Of token -1, where fewer logits are finite, there is no logprob.
                    Conformance.expect(a.token == b.token && (a.token < 0 || abs(a.logprob - b.logprob) < 1e-4))
                }
            }
        }
        // A draw may fall within f32's rounding of the border between two tokens.
        Conformance.expect(drawn == 200 && differing <= 1, "\(differing) of \(drawn) differ")
    }
}
