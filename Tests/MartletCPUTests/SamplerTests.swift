// SPDX-License-Identifier: Apache-2.0

import CMartletKernels
import Foundation
import MartletCPU
import MartletCompute
import MartletTestSupport
import Testing

extension Sampler {
    /// With the row's summary as phases make it.
    fileprivate func sample(
        _ logits: [Float], _ row: SamplingRow, edits: LogitEdits? = nil,
        top: UnsafeMutablePointer<TokenLogprob>? = nil
    ) -> SampledToken {
        guard let kernels = InstructionSet.best.kernels else { return SampledToken() }
        let slices = (0..<LogitSummary.sliceCount(vocabularySize: logits.count)).map {
            LogitSummary(slice: $0, of: logits, vocabularySize: logits.count, kernels: kernels)
        }
        let summary = slices.withUnsafeBufferPointer { LogitSummary(joining: $0) }
        return sample(logits, row, summary: summary, edits: edits, top: top)
    }
}

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

    /// Slices together are the row: the first of the largest, and the whole sum.
    @Test(arguments: [1, 4095, 4096, 4097, 10_000]) func slicesAreTheRow(_ count: Int) throws {
        var random = SeededGenerator(8)
        for trial in 0..<20 {
            var logits = random.normals(count, scale: 5)
            for _ in 0..<trial { logits[Int.random(in: 0..<count, using: &random)] = trial % 2 == 0 ? 30 : -.infinity }
            // Some slices have nothing finite.
            if trial > 10 { for index in 0..<min(count - 1, 5000) { logits[index] = .nan } }
            let expected = KernelTwins.argumentOfMaximum(logits)
            let result = try sampler(count).sample(logits, .greedy)
            #expect(Int(result.token) == expected?.index ?? -1)
            guard let expected else { continue }
            let sum = KernelTwins.sumOfExponentials(logits, maximum: expected.value, factor: 1)
            #expect(abs(Double(result.logprob) + log(sum)) < 1e-5)
        }
    }

    /// Phases find each row's own slices, in whatever order they are done.
    @Test func phasesSumUpEachRow() throws {
        let kernels = try #require(InstructionSet.best.kernels)
        let (rows, columns) = (3, 9000)
        let workspace = CPUWorkspace(
            BatchCapacity(tokens: 1, sequences: rows, blocksPerSequence: 1, logitRows: rows), activations: .int8)
        let tensor = Tensor("logits", rows: .logitRows, columns: columns)
        var random = SeededGenerator(12)
        let logits = (0..<rows).map { _ in random.normals(columns, scale: 4) }
        try workspace.write(logits.flatMap(\.self), to: tensor)
        let batch = BatchBuffers(capacity: workspace.capacity)
        batch.logitRowCount = rows
        for row in 0..<rows { batch.sampling[row] = .greedy }
        let (memory, summaries) = (try workspace.rows(of: tensor), try workspace.summaries(of: tensor))
        let summing = LogitSummaryPhase(kernels: kernels, logits: memory, summaries: summaries)
        #expect(summing.itemCount(batch) == 9)
        for items in [7..<9, 0..<2, 4..<7, 2..<4] { summing.run(items, worker: 0, batch: batch) }
        SamplePhase(logits: memory, summaries: summaries, samplers: [try sampler(columns)])
            .run(0..<rows, worker: 0, batch: batch)
        for row in 0..<rows { #expect(batch.samples[row] == (try sampler(columns).sample(logits[row], .greedy))) }
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
        let expected = KernelTwins.probabilities(logits, parameters)
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

    /// Masks, biases and penalties, in their order, against the twin; drawn tokens follow.
    @Test func editsAreThoseOfTheTwin() throws {
        var random = SeededGenerator(4)
        let size = 150
        let sampler = try sampler(size)
        let batch = BatchBuffers(
            capacity: BatchCapacity(
                tokens: 1, sequences: 3, blocksPerSequence: 1, logitRows: 1,
                logitEdits: LogitEdits.Capacity(biases: 200, counts: size, vocabularySize: size)))
        func tokens(_ limit: Int) -> [Int32] {
            (0..<Int.random(in: 0...limit, using: &random)).map { _ in Int32.random(in: 0..<Int32(size), using: &random)
            }
        }
        for round in 0..<400 {
            let logits = random.normals(size, scale: 3)
            let sequence = round % 3
            let (prompt, answer) = (tokens(40), tokens(40))
            let allowed: Set<Int32>? = round % 4 == 0 ? Set(tokens(100) + [3]) : nil
            var biases = tokens(50).map { TokenBias(token: $0, bias: random.normal() * 4) }
            if round % 5 == 0 { biases += tokens(30).map { TokenBias(token: $0, bias: -.infinity) } }
            var row = SamplingRow.greedy
            row.editedSequence = Int32(sequence)
            (row.repetitionPenalty, row.presencePenalty, row.frequencyPenalty) = (1.5, 0.7, -0.25)

            let edits = batch.logitEdits
            edits.clear(sequence)
            if let allowed {
                var words = [UInt64](repeating: 0, count: edits.capacity.maskWords)
                for token in allowed { words[Int(token) / 64] |= 1 << UInt64(token % 64) }
                edits.setMask(words, of: sequence)
            }
            for bias in biases { edits.append(bias, to: sequence) }
            let counts = Set(prompt + answer).map { token in
                TokenCount(token: token, count: Int32(answer.count { $0 == token }))
            }
            counts.withUnsafeBufferPointer { edits.setCounts($0, of: sequence) }

            let expected = KernelTwins.edited(
                logits, row, allowed: allowed, biases: biases, prompt: prompt, answer: answer)
            let result = sampler.sample(logits, row, edits: edits)
            let best = KernelTwins.argumentOfMaximum(expected)
            #expect(result.token == best.map { Int32($0.index) } ?? SampledToken.nothingAllowed)
            guard best != nil else { continue }
            // The logprob is that of the logits before they were edited.
            let total = log(KernelTwins.sumOfExponentials(logits, maximum: 0, factor: 1))
            #expect(abs(Double(result.logprob) - Double(logits[Int(result.token)]) + total) < 1e-4)
            row.temperature = 2
            row.key = DrawKey(seed: UInt64(round))
            let drawn = sampler.sample(logits, row, edits: edits).token
            #expect(drawn >= 0 && expected[Int(drawn)].isFinite)
        }
        var row = SamplingRow.greedy
        row.editedSequence = 0
        batch.logitEdits.clear(0)
        batch.logitEdits.setMask(Array(repeating: 0, count: batch.logitEdits.capacity.maskWords), of: 0)
        let result = sampler.sample(random.normals(size), row, edits: batch.logitEdits)
        #expect(result.token == SampledToken.nothingAllowed)
    }

    @Test func theLikeliestAreReported() throws {
        var random = SeededGenerator(8)
        for size in [1, 5, 64, 1000] {
            let sampler = try sampler(size)
            for limit in [1, 2, 20] {
                // Few values, so that many are equal; some no numbers.
                var logits = (0..<size).map { _ in Float(Int.random(in: 0..<30, using: &random)) }
                if size > 5 { (logits[1], logits[3]) = (.nan, .infinity) }
                var row = SamplingRow.greedy
                row.topLogprobs = Int32(limit)
                var top = [TokenLogprob](repeating: TokenLogprob(token: 99, logprob: 99), count: limit)
                let sampled = top.withUnsafeMutableBufferPointer { buffer in
                    sampler.sample(logits, row, top: buffer.baseAddress)
                }
                let order = logits.indices.filter { logits[$0].isFinite }
                    .sorted { (-logits[$0], $0) < (-logits[$1], $1) }.prefix(limit)
                #expect(top.prefix(order.count).map(\.token) == order.map(Int32.init))
                #expect(top[0].logprob == sampled.logprob && top[0].token == sampled.token)
                #expect(top.dropFirst(order.count).allSatisfy { $0.token == -1 })
            }
        }
    }

    @Test func largestFirstSorts() {
        var random = SeededGenerator(2)
        for count in [0, 1, 2, 3, 10, 999] {
            var values = (0..<count).map { _ in UInt64.random(in: 0..<50, using: &random) }
            let sorted = values.sorted(by: >)
            values.withUnsafeMutableBufferPointer { buffer in
                var largest = LargestFirst(buffer)
                // Out of order too: what is sorted stays so.
                if count > 5 { #expect(largest[5] == sorted[5]) }
                for index in 0..<count { #expect(largest[index] == sorted[index]) }
            }
        }
    }
}
