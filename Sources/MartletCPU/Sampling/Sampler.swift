// SPDX-License-Identifier: Apache-2.0

package import CMartletKernels
import Glibc
package import MartletCompute

/// Turns a row of logits into a token. One for each worker: it owns that worker's scratch.
///
/// Logits that aren't finite can't be drawn; a row without any finite one yields no token.
package struct Sampler {
    private let kernels: MartletKernelTable
    private let vocabularySize: Int
    /// `[vocabularySize]`: the row's logits after its edits.
    private let edited: AlignedMemory
    /// `[vocabularySize]`: `e^((logit - maximum) / temperature)`, 0 for what is cut off.
    private let weights: AlignedMemory
    /// `[vocabularySize]`: `weight bits << 32 | ~id`, so that descending order is by weight, then by lowest id.
    private let candidates: AlignedMemory

    package init(kernels: MartletKernelTable, vocabularySize: Int) throws(DeviceError) {
        self.kernels = kernels
        self.vocabularySize = vocabularySize
        edited = try AlignedMemory(byteCount: vocabularySize * 4)
        weights = try AlignedMemory(byteCount: vocabularySize * 4)
        candidates = try AlignedMemory(byteCount: vocabularySize * 8)
    }

    /// - Parameters:
    ///   - summary: the row's.
    ///   - edits: of the step; nil for none.
    ///   - top: room for the row's `topLogprobs`.
    package func sample(
        _ logits: UnsafePointer<Float>, _ row: SamplingRow, summary: LogitSummary, edits: LogitEdits? = nil,
        top: UnsafeMutablePointer<TokenLogprob>? = nil
    ) -> SampledToken {
        var result = SampledToken()
        guard summary.likeliest >= 0 else { return result }
        let (maximum, total) = (summary.maximum, summary.logOfSum)
        func logprob(_ token: Int) -> Float {
            logits[token].isFinite ? Float(Double(logits[token] - maximum) - total) : -.infinity
        }
        let token: Int
        if row.editedSequence >= 0, let edits {
            let edited = edit(logits, row, edits)
            var editedMaximum: Float = 0
            let best = kernels.argumentOfMaximum(edited, Int64(vocabularySize), &editedMaximum)
            guard best >= 0 else {
                result.token = SampledToken.nothingAllowed
                return result
            }
            token = row.temperature > 0 ? draw(edited, editedMaximum, row) : Int(best)
        } else {
            token = row.temperature > 0 ? draw(logits, maximum, row) : summary.likeliest
        }
        result.token = Int32(token)
        result.logprob = logprob(token)
        if row.target >= 0 { result.targetLogprob = logprob(Int(row.target)) }
        if let top, row.topLogprobs > 0 {
            let found = selectLargest(Int(row.topLogprobs), of: logits, into: top)
            for rank in 0..<found { top[rank].logprob = logprob(Int(top[rank].token)) }
        }
        return result
    }

    /// The logits with the sequence's edits and the row's penalties.
    private func edit(
        _ logits: UnsafePointer<Float>, _ row: SamplingRow, _ edits: LogitEdits
    ) -> UnsafePointer<Float> {
        let edited = edited.pointer(to: Float.self)
        edited.update(from: logits, count: vocabularySize)
        let sequence = Int(row.editedSequence)
        if let mask = edits.mask(of: sequence) {
            for token in 0..<vocabularySize where mask[token / 64] >> UInt64(token % 64) & 1 == 0 {
                edited[token] = -.infinity
            }
        }
        for bias in edits.biases(of: sequence) { edited[Int(bias.token)] += bias.bias }
        for count in edits.counts(of: sequence) {
            var logit = edited[Int(count.token)]
            logit = logit > 0 ? logit / row.repetitionPenalty : logit * row.repetitionPenalty
            if count.count > 0 { logit -= row.frequencyPenalty * Float(count.count) + row.presencePenalty }
            edited[Int(count.token)] = logit
        }
        return UnsafePointer(edited)
    }

    /// The largest finite logits with their tokens, largest first, of equals the lowest id. Returns how many there are.
    ///
    /// - Complexity: O(vocabulary) where few displace another.
    private func selectLargest(
        _ limit: Int, of logits: UnsafePointer<Float>, into top: UnsafeMutablePointer<TokenLogprob>
    ) -> Int {
        var count = 0
        for token in 0..<vocabularySize where count < limit || logits[token] > top[count - 1].logprob {
            guard logits[token].isFinite else { continue }
            var rank = min(count, limit - 1)
            while rank > 0, logits[token] > top[rank - 1].logprob {
                top[rank] = top[rank - 1]
                rank -= 1
            }
            top[rank] = TokenLogprob(token: Int32(token), logprob: logits[token])
            count = min(count + 1, limit)
        }
        for rank in count..<limit { top[rank] = TokenLogprob(token: -1, logprob: -.infinity) }
        return count
    }

    private func draw(_ logits: UnsafePointer<Float>, _ maximum: Float, _ row: SamplingRow) -> Int {
        let weights = weights.pointer(to: Float.self)
        _ = kernels.sumOfExponentials(logits, Int64(vocabularySize), maximum, 1 / row.temperature, weights)
        // The likeliest token's weight is 1. Some tables know no weights below normal numbers.
        let least = max(row.minP, .leastNormalMagnitude)
        let uniform = row.key.uniform(draw: 0)
        guard row.topK > 0 || row.topP < 1 else { return drawFromAll(least: least, uniform: uniform) }
        return drawFromLikeliest(row, least: least, uniform: uniform)
    }

    private func drawFromLikeliest(_ row: SamplingRow, least: Float, uniform: Double) -> Int {
        // The sum over every token that isn't cut off; over the k likeliest where top-k cuts too.
        var needed = row.topK == 0 ? Double(row.topP) * sumOfWeights(least: least) : .infinity
        var sorted = likeliest(row, least: least, needed: needed)
        func weight(_ candidate: UInt64) -> Double {
            Double(Float(bitPattern: UInt32(truncatingIfNeeded: candidate >> 32)))
        }
        let kept = row.topK > 0 ? min(sorted.count, Int(row.topK)) : sorted.count
        if row.topK > 0, row.topP < 1 {
            var total = 0.0
            for index in 0..<kept { total += weight(sorted[index]) }
            needed = Double(row.topP) * total
        }
        var nucleus = 0
        var sum = 0.0
        while nucleus < kept, sum < needed {
            sum += weight(sorted[nucleus])
            nucleus += 1
        }
        var rest = uniform * sum
        var chosen = 0
        while chosen < nucleus - 1 {
            rest -= weight(sorted[chosen])
            if rest < 0 { break }
            chosen += 1
        }
        return Int(~UInt32(truncatingIfNeeded: sorted[chosen]))
    }

    /// Tokens whose weights are added up together, to be looked at one by one only where the draw falls among them.
    private static let blockLength = 512

    private func drawFromAll(least: Float, uniform: Double) -> Int {
        var rest = uniform * sumOfWeights(least: least)
        let sums = candidates.pointer(to: Double.self)
        var chosen = -1
        for block in 0..<blockCount where sums[block] > 0 {
            chosen = block
            if rest < sums[block] { break }
            rest -= sums[block]
        }
        let weights = weights.pointer(to: Float.self)
        let first = max(chosen, 0) * Self.blockLength
        var last = first
        for token in first..<min(first + Self.blockLength, vocabularySize) where weights[token] >= least {
            last = token
            rest -= Double(weights[token])
            if rest < 0 { break }
        }
        return last
    }

    private var blockCount: Int { (vocabularySize + Self.blockLength - 1) / Self.blockLength }

    /// The sum over the tokens that aren't cut off. Overwrites the candidates with the sums of the blocks.
    private func sumOfWeights(least: Float) -> Double {
        let weights = weights.pointer(to: Float.self)
        let sums = candidates.pointer(to: Double.self)
        var total = 0.0
        for block in 0..<blockCount {
            let first = block * Self.blockLength
            let end = min(first + Self.blockLength, vocabularySize)
            var lanes = SIMD16<Float>.zero
            var token = first
            while token + 16 <= end {
                let values = UnsafeRawPointer(weights + token).loadUnaligned(as: SIMD16<Float>.self)
                lanes += values.replacing(with: 0, where: values .< least)
                token += 16
            }
            var sum = Double(lanes.sum())
            while token < end {
                if weights[token] >= least { sum += Double(weights[token]) }
                token += 1
            }
            sums[block] = sum
            total += sum
        }
        return total
    }

    /// At least the `topK` likeliest, or those that make up `topP`, likeliest first.
    ///
    /// Gathers what lies above a threshold that falls until enough does, so that a few hundred candidates are sorted
    /// and not the vocabulary.
    private func likeliest(_ row: SamplingRow, least: Float, needed: Double) -> LargestFirst {
        let weights = weights.pointer(to: Float.self)
        let candidates = candidates.pointer(to: UInt64.self)
        var threshold: Float = 0x1p-6
        while true {
            let bound = max(threshold, least)
            var count = 0
            var sum = 0.0
            for token in 0..<vocabularySize where weights[token] >= bound {
                candidates[count] = UInt64(weights[token].bitPattern) << 32 | UInt64(~UInt32(token))
                count += 1
                sum += Double(weights[token])
            }
            let isEnough = row.topK > 0 ? count >= Int(row.topK) : sum >= needed
            if isEnough || threshold <= least {
                return LargestFirst(UnsafeMutableBufferPointer(start: candidates, count: count))
            }
            threshold *= 0x1p-6
        }
    }
}

/// The elements of a buffer, largest first, sorted in place and only as far as they are asked for: a heap sort that
/// stops early, and that allocates nothing.
package struct LargestFirst {
    private let elements: UnsafeMutableBufferPointer<UInt64>
    /// The first `heapCount` are a heap; behind it the largest ones, ascending.
    private var heapCount: Int

    package init(_ elements: UnsafeMutableBufferPointer<UInt64>) {
        self.elements = elements
        heapCount = elements.count
        for start in stride(from: heapCount / 2 - 1, through: 0, by: -1) { sink(start) }
    }

    var count: Int { elements.count }

    /// - Complexity: O(log n) for each element after the last one asked for.
    package subscript(_ index: Int) -> UInt64 {
        mutating get {
            while elements.count - heapCount <= index {
                heapCount -= 1
                elements.swapAt(0, heapCount)
                sink(0)
            }
            return elements[elements.count - 1 - index]
        }
    }

    private func sink(_ start: Int) {
        var parent = start
        while 2 * parent + 1 < heapCount {
            var child = 2 * parent + 1
            if child + 1 < heapCount, elements[child + 1] > elements[child] { child += 1 }
            guard elements[child] > elements[parent] else { return }
            elements.swapAt(parent, child)
            parent = child
        }
    }
}
