// SPDX-License-Identifier: Apache-2.0

import CMartletKernels
import Foundation
import MartletCompute
import MartletTestSupport
import Testing

@testable import MartletCPU

@Suite struct SamplerTests {
    private func sampler(_ count: Int) throws -> Sampler {
        try Sampler(kernels: #require(InstructionSet.best.kernels), vocabularySize: count)
    }

    @Test func greedyTakesTheFirstOfEquals() throws {
        let result = try sampler(5).sample([1, 3, 3, 2, -.infinity], .greedy)
        let total = exp(-2.0) + 1 + 1 + exp(-1.0)
        #expect(result.token == 1)
        #expect(abs(Double(result.logprob) + log(total)) < 1e-6)
    }

    @Test func reportsTheTarget() throws {
        var row = SamplingRow.greedy
        row.target = 0
        #expect(abs(try sampler(2).sample([0, log(3)], row).targetLogprob - log(0.25)) < 1e-6)
        row.target = 1
        #expect(try sampler(2).sample([0, -.infinity], row).targetLogprob == -.infinity)
    }

    @Test func rowsThatAreNotNumbersYieldNothing() throws {
        for logits in [[Float.nan, .nan], [.infinity, .nan], [-.infinity, -.infinity]] {
            #expect(try sampler(2).sample(logits, .greedy).token == -1)
            #expect(try sampler(2).sample(logits, SamplingRow(temperature: 1)).token == -1)
        }
        #expect(try sampler(3).sample([.nan, 1, .infinity], SamplingRow(temperature: 1)).token == 1)
    }

    /// Draws follow the twin's probabilities, within five standard deviations, and never leave its support.
    @Test(arguments: [
        SamplingRow(temperature: 1), SamplingRow(temperature: 0.5), SamplingRow(temperature: 3, topK: 5),
        SamplingRow(temperature: 1, topP: 0.7), SamplingRow(temperature: 1, minP: 0.2),
        SamplingRow(temperature: 1, topK: 1),
        SamplingRow(temperature: 1.5, topK: 7, topP: 0.8, minP: 0.02), SamplingRow(temperature: 100, topP: 0.99),
        SamplingRow(temperature: 1e-5),
    ]) func drawsFollowTheProbabilities(_ parameters: SamplingRow) throws {
        var random = SeededGenerator(9)
        let logits = random.normals(50, scale: 2)
        let expected = ReferenceKernels.probabilities(logits, parameters)
        let sampler = try sampler(50)
        let draws = 20_000
        var counts = [Int](repeating: 0, count: 50)
        for draw in 0..<draws {
            var row = parameters
            row.key = DrawKey(seed: 42, sampleIndex: 0, position: UInt32(draw))
            counts[Int(sampler.sample(logits, row).token)] += 1
        }
        for token in 0..<50 {
            let (count, probability) = (Double(counts[token]), expected[token])
            let deviation = (Double(draws) * probability * (1 - probability)).squareRoot()
            #expect(abs(count - Double(draws) * probability) <= 5 * deviation + 1e-9, "token \(token)")
        }
    }

    /// Far more candidates than the first threshold gathers.
    @Test func topPOverAFlatDistribution() throws {
        let logits = [Float](repeating: 0, count: 1000) + [Float](repeating: -20, count: 1000)
        var row = SamplingRow(temperature: 1, topP: 0.5)
        var largest = 0
        for position in 0..<2_000 {
            row.key.position = UInt32(position)
            largest = max(largest, Int(try sampler(2000).sample(logits, row).token))
        }
        // 500 of the thousand, and one more for the half of the others' crumbs.
        #expect(largest <= 500 && largest > 450)
        row = SamplingRow(temperature: 1, topK: 1500)
        #expect(try sampler(2000).sample(logits, row).token < 1500)
    }

    @Test func drawsAreKeyed() {
        let key = DrawKey(seed: 1, sampleIndex: 2, position: 3)
        #expect(key.uniform(draw: 0) == DrawKey(seed: 1, sampleIndex: 2, position: 3).uniform(draw: 0))
        var seen: Set<Double> = []
        for seed in 0..<10 as Range<UInt64> {
            for sample in 0..<10 as Range<UInt32> {
                for position in 0..<10 as Range<UInt32> {
                    for draw in 0..<2 as Range<UInt32> {
                        seen.insert(DrawKey(seed: seed, sampleIndex: sample, position: position).uniform(draw: draw))
                    }
                }
            }
        }
        #expect(seen.count == 2_000)
        #expect(seen.allSatisfy { $0 >= 0 && $0 < 1 })
        #expect(abs(seen.reduce(0, +) / 2_000 - 0.5) < 0.03)
    }
}
