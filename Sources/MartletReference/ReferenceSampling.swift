// SPDX-License-Identifier: Apache-2.0

import Glibc
import MartletCompute

extension ReferenceKernels {
    func sample(_ logits: ReferenceWorkspace.Activation, _ batch: BatchBuffers) {
        for row in 0..<batch.logitRowCount {
            let parameters = batch.sampling[row]
            let numbers = logits[row].map { Float($0) }
            batch.samples[row] = Self.sample(numbers, parameters, batch.logitEdits)
            let top = Self.likeliest(numbers, count: Int(parameters.topLogprobs))
            for (rank, entry) in top.enumerated() where rank < batch.capacity.topLogprobs {
                batch.topLogprobs[row * batch.capacity.topLogprobs + rank] = entry
            }
        }
    }

    private static func sample(_ logits: [Float], _ row: SamplingRow, _ edits: LogitEdits) -> SampledToken {
        var result = SampledToken()
        guard let best = largest(logits) else { return result }
        var (chosen, edited) = (best, logits)
        if row.editedSequence >= 0 {
            edited = Self.edited(logits, row, edits)
            guard let allowed = largest(edited) else {
                result.token = SampledToken.nothingAllowed
                return result
            }
            chosen = allowed
        }
        if row.temperature > 0 { chosen = draw(edited, row) }
        result.token = Int32(chosen)
        result.logprob = logprob(chosen, of: logits)
        if row.target >= 0 { result.targetLogprob = logprob(Int(row.target), of: logits) }
        return result
    }

    /// The token of the largest finite logit, of equals the first; nil where none is finite.
    static func largest(_ logits: [Float]) -> Int? {
        logits.indices.filter { logits[$0].isFinite }.max { (logits[$0], $1) < (logits[$1], $0) }
    }

    private static func logprob(_ token: Int, of logits: [Float]) -> Float {
        guard logits[token].isFinite, let best = largest(logits) else { return -.infinity }
        let sum = logits.reduce(0.0) { $1.isFinite ? $0 + exp(Double($1) - Double(logits[best])) : $0 }
        return Float(Double(logits[token]) - Double(logits[best]) - log(sum))
    }

    private static func likeliest(_ logits: [Float], count: Int) -> [TokenLogprob] {
        guard count > 0 else { return [] }
        let order = logits.indices.filter { logits[$0].isFinite }.sorted { (logits[$1], $0) < (logits[$0], $1) }
        let found = order.prefix(count).map { TokenLogprob(token: Int32($0), logprob: logprob($0, of: logits)) }
        return found + Array(repeating: TokenLogprob(token: -1, logprob: -.infinity), count: count - found.count)
    }

    /// The mask, then biases in their order, then penalties by the counts.
    private static func edited(_ logits: [Float], _ row: SamplingRow, _ edits: LogitEdits) -> [Float] {
        var logits = logits
        let sequence = Int(row.editedSequence)
        if let mask = edits.mask(of: sequence) {
            for token in logits.indices where mask[token / 64] >> UInt64(token % 64) & 1 == 0 {
                logits[token] = -.infinity
            }
        }
        for bias in edits.biases(of: sequence) { logits[Int(bias.token)] += bias.bias }
        for count in edits.counts(of: sequence) {
            let logit = logits[Int(count.token)]
            var changed = logit > 0 ? logit / row.repetitionPenalty : logit * row.repetitionPenalty
            if count.count > 0 { changed -= row.frequencyPenalty * Float(count.count) + row.presencePenalty }
            logits[Int(count.token)] = changed
        }
        return logits
    }

    /// The first token, in the order in which candidates are added up, whose sum exceeds the key's number: by id where
    /// nothing but temperature and min-p decides, else from the likeliest on.
    private static func draw(_ logits: [Float], _ row: SamplingRow) -> Int {
        let weights = candidates(logits, row)
        let isByID = row.topK <= 0 && row.topP >= 1
        let order = isByID ? weights.sorted { $0.token < $1.token } : weights
        var rest = row.key.uniform(draw: 0) * order.reduce(0) { $0 + $1.weight }
        for candidate in order {
            rest -= candidate.weight
            if rest < 0 { return candidate.token }
        }
        return order.last?.token ?? 0
    }

    /// What temperature, min-p, top-k and top-p leave, likeliest first.
    static func candidates(_ logits: [Float], _ row: SamplingRow) -> [(token: Int, weight: Double)] {
        guard let best = largest(logits) else { return [] }
        var left = logits.indices.filter { logits[$0].isFinite }.map { token in
            (token: token, weight: exp((Double(logits[token]) - Double(logits[best])) / Double(row.temperature)))
        }
        left = left.filter { $0.weight >= Double(row.minP) }.sorted { ($1.weight, $0.token) < ($0.weight, $1.token) }
        if row.topK > 0 { left = Array(left.prefix(Int(row.topK))) }
        guard row.topP < 1 else { return left }
        let needed = Double(row.topP) * left.reduce(0) { $0 + $1.weight }
        var (sum, count) = (0.0, 0)
        while count < left.count, sum < needed || count == 0 {
            sum += left[count].weight
            count += 1
        }
        return Array(left.prefix(count))
    }
}
