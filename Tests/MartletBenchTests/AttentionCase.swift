// SPDX-License-Identifier: Apache-2.0

import MartletAttention
import MartletBench
import MartletCPU
import MartletCompute
import MartletReference
import MartletTestSupport

/// A random batch: its sequences with their queries, keys and values, and what attention computes of them.
struct AttentionCase {
    struct Sequence {
        var length: Int
        var queryLength: Int
        /// `[queryLength, queryHeads, headSize]`
        var queries: [Float]
        /// `[length, keyValueHeads, headSize]`
        var keys: [Float]
        var values: [Float]
        var prefixRanges: [PrefixRange] = []

        var contextLength: Int { length - queryLength }
    }

    var parameters: AttentionParameters
    var format: CacheFormat
    var blockSize: Int
    var sinks: [Float]?
    var bias: [[Float]] = []
    var sequences: [Sequence]

    /// How a case is run; none of it may show in the result.
    struct Way {
        var splits = false
        var decodeThreshold = 1
        var partials = 400
        /// Sequences in another order than the case's.
        var shuffles = false
        /// Query tokens a sequence computes at most in a step, drawn anew each time; 0: all at once.
        var largestChunk = 0
    }

    /// The output's bits, `[sequence][queryLength * queryHeads * headSize]`. Everything that a run could read without
    /// having written it is NaN before.
    func run(_ way: Way, on device: any ComputeDevice, _ random: inout SeededGenerator) throws -> [[UInt32]] {
        let blocks = sequences.map { ($0.length + blockSize - 1) / blockSize }
        let blockCount = blocks.reduce(0, +) + 3
        var free = Array(Int32(0)..<Int32(blockCount)).shuffled(using: &random)
        let tables = blocks.map { count in (0..<count).map { _ in free.removeLast() } }
        let heads = parameters.heads
        let attention = try IsolatedAttention(
            parameters,
            shape: CacheShape(
                layers: 1, keyValueHeads: heads.keyValueHeads, headSize: heads.headSize, blockSize: blockSize,
                blockCount: blockCount, format: format),
            capacity: BatchCapacity(
                tokens: sequences.reduce(1) { $0 + $1.queryLength }, sequences: sequences.count,
                blocksPerSequence: blocks.max() ?? 1, logitRows: 1, partials: way.partials,
                prefixRanges: sequences.map(\.prefixRanges.count).max() ?? 0, queryQueryBias: bias.count),
            sinks: sinks, on: device)
        try Self.poison(attention)
        attention.setQueryQueryBias(bias)
        for index in sequences.indices {
            try store(0..<sequences[index].contextLength, of: index, tables, in: attention)
        }
        let planner = attention.planner(splits: way.splits, decodeThreshold: way.decodeThreshold)
        var done = sequences.map { _ in 0 }
        var outputs: [[UInt32]] = sequences.map { _ in [] }
        while zip(sequences, done).contains(where: { $0.queryLength > $1 }) {
            var order = Array(sequences.indices)
            if way.shuffles { order.shuffle(using: &random) }
            let steps = order.map { index in
                let left = sequences[index].queryLength - done[index]
                return min(left, way.largestChunk > 0 ? Int.random(in: 0...way.largestChunk, using: &random) : left)
            }
            try runStep(attention, planner, zip(order, steps).filter { $1 > 0 }, tables, &done, &outputs)
        }
        return outputs
    }

    private func runStep(
        _ attention: IsolatedAttention, _ planner: AttentionPlanner, _ shares: [(index: Int, count: Int)],
        _ tables: [[Int32]], _ done: inout [Int], _ outputs: inout [[UInt32]]
    ) throws {
        guard !shares.isEmpty else { return }
        let columns = parameters.heads.outputColumns
        var queries: [Float] = []
        var step: [IsolatedAttention.Sequence] = []
        for (index, count) in shares {
            let sequence = sequences[index]
            let length = sequence.contextLength + done[index] + count
            try store(length - count..<length, of: index, tables, in: attention)
            queries += sequence.queries[done[index] * columns..<(done[index] + count) * columns]
            step.append(
                IsolatedAttention.Sequence(
                    queryLength: count, length: length, blockTable: tables[index], prefixRanges: sequence.prefixRanges))
        }
        attention.prepare(step)
        try attention.poisonOutputs()
        try attention.setQueries(queries)
        try attention.run(planner)
        var output = try attention.outputs()[...]
        for (index, count) in shares {
            outputs[index] += output.prefix(count * columns).map(\.bitPattern)
            output = output.dropFirst(count * columns)
            done[index] += count
        }
    }

    private func store(
        _ tokens: Range<Int>, of index: Int, _ tables: [[Int32]], in attention: IsolatedAttention
    ) throws {
        let columns = parameters.heads.keyValueHeads * parameters.heads.headSize
        let elements = tokens.lowerBound * columns..<tokens.upperBound * columns
        try attention.store(
            keys: Array(sequences[index].keys[elements]), values: Array(sequences[index].values[elements]),
            slots: tokens.map { Int64(tables[index][$0 / blockSize]) * Int64(blockSize) + Int64($0 % blockSize) })
    }

    /// All bits set is NaN in every format.
    private static func poison(_ attention: IsolatedAttention) throws {
        if let cache = attention.cache as? CPUKeyValueCache {
            cache.memory.base.initializeMemory(as: UInt8.self, repeating: 0xff, count: cache.memory.byteCount)
        }
        if let workspace = attention.workspace as? CPUWorkspace {
            let floats = AttentionLayer.partialFloats(attention.parameters.heads)
            let partials = try workspace.partials(floats: floats)
            partials.update(repeating: .nan, count: floats * workspace.capacity.partials)
        }
    }

    /// The output of one query row by the formula, on what the formats leave of its inputs.
    func expected(sequence index: Int, row: Int) -> [Double] {
        let (sequence, heads) = (sequences[index], parameters.heads)
        let queryFormat = parameters.queryFormat(beside: format)
        var reference = AttentionFormula(parameters, sinks: sinks)
        reference.prefixRanges = sequence.prefixRanges
        reference.queryQueryBias = bias
        func kept(_ numbers: [Float], scale: Float, largest: Float) -> [Double] {
            guard case .float(let format) = format else {
                return Int16Head(rounding: numbers, largest: largest).numbers.map(Double.init)
            }
            guard format.isEightBit else { return numbers.map { Double(format.round($0)) } }
            return numbers.map { number in
                let code = format.round(number / scale)
                return queryFormat.isEightBit ? Double(code) * Double(scale) : Double(queryFormat.round(code * scale))
            }
        }
        func column(_ values: [Float], head: Int, scale: Float, largest: Float) -> [Double] {
            (0..<sequence.length).flatMap { token in
                let start = (token * heads.keyValueHeads + head) * heads.headSize
                return kept(Array(values[start..<start + heads.headSize]), scale: scale, largest: largest)
            }
        }
        let keys = (0..<heads.keyValueHeads).map { head in
            column(sequence.keys, head: head, scale: parameters.keyScale, largest: Int16Head.largestOfKey)
        }
        let values = (0..<heads.keyValueHeads).map { head in
            column(sequence.values, head: head, scale: parameters.valueScale, largest: Int16Head.largestOfValue)
        }
        return (0..<heads.queryHeads).flatMap { head in
            let start = (row * heads.queryHeads + head) * heads.headSize
            let query = sequence.queries[start..<start + heads.headSize].map { value in
                queryFormat.isEightBit
                    ? Double(queryFormat.round(value / parameters.queryScale)) * Double(parameters.queryScale)
                    : Double(queryFormat.round(value))
            }
            return reference.attend(
                query: query, keys: keys[head / heads.groupSize], values: values[head / heads.groupSize],
                position: sequence.contextLength + row, contextLength: sequence.contextLength, head: head
            ).map { $0 / Double(parameters.outputScale) }
        }
    }
}

extension AttentionCase {
    /// What a random case may hold.
    struct Features: OptionSet {
        let rawValue: Int
        /// What a chunk or another batch would change: it makes one section of a sequence's new tokens.
        static let wholeSections = Features(rawValue: 1)
    }

    static func random(_ features: Features = [], _ random: inout SeededGenerator) -> AttentionCase {
        func chance(_ outOf: Int) -> Bool { Int.random(in: 0..<outOf, using: &random) == 0 }
        let keyValueHeads = Int.random(in: 1...3, using: &random)
        let groupSize = [1, 2, 3, 4, 5, 7, 8, 13, 50].randomElement(using: &random) ?? 1
        let headSize = [8, 24, 32, 40, 64, 64, 72, 80, 96, 128, 200, 256, 320, 512].randomElement(using: &random) ?? 64
        let heads = AttentionHeads(
            queryHeads: keyValueHeads * groupSize, keyValueHeads: keyValueHeads, headSize: headSize)
        var parameters = AttentionParameters(heads: heads, scale: 1 / Float(headSize).squareRoot())
        if chance(3) { parameters.softcap = [0.02, 5, 50].randomElement(using: &random) }
        switch Int.random(in: 0..<6, using: &random) {
        case 0, 1: parameters.visibility.scope = .window(Int.random(in: 1...200, using: &random))
        case 2:
            parameters.visibility.scope = .chunks(
                length: Int.random(in: 1...100, using: &random), lookback: Int.random(in: 0...2, using: &random))
        default: break
        }
        if chance(4) {
            parameters.alibi = ALiBi(
                slopes: (0..<heads.queryHeads).map { exp2Slope($0, of: heads.queryHeads) },
                usesSquareRoot: chance(2))
        }
        let format =
            [.float(.bfloat16), .int16, CacheFormat.allCases.randomElement(using: &random)][
                Int.random(in: 0..<3, using: &random)] ?? .int16
        if format.isEightBit {
            parameters.keyScale = chance(2) ? 1 : 0.037
            parameters.valueScale = chance(2) ? 1 : 0.25
        }
        if chance(4) { parameters.queryFormat = FloatFormat.allCases.randomElement(using: &random) }
        if parameters.queryFormat?.isEightBit == true, chance(2) { parameters.queryScale = 0.75 }
        var sample = AttentionCase(
            parameters: parameters, format: format,
            blockSize: [16, 32, 64, 128, 256].randomElement(using: &random) ?? 16,
            sequences: [])
        if chance(3) { sample.sinks = random.normals(heads.queryHeads, scale: 2) }
        let hasRanges = features.contains(.wholeSections) && chance(2)
        if features.contains(.wholeSections), !hasRanges || chance(2) {
            sample.bias = (0..<6).map { row in
                (0..<6).map { $0 > row || chance(4) ? -.infinity : Float.random(in: -2...2, using: &random) }
            }
        }
        if features.contains(.wholeSections) { sample.parameters.visibility.isCausal = !chance(4) }
        for _ in 0..<Int.random(in: 1...5, using: &random) {
            sample.addSequence(hasRanges: hasRanges, &random)
        }
        return sample
    }

    private mutating func addSequence(hasRanges: Bool, _ random: inout SeededGenerator) {
        let heads = parameters.heads
        let queryLength =
            switch Int.random(in: 0..<4, using: &random) {
            case 0, 1: 1
            case 2: Int.random(in: 1...6, using: &random)
            default: Int.random(in: 7...70, using: &random)
            }
        let context =
            Bool.random(using: &random)
            ? Int.random(in: 0...40, using: &random)
            : Int.random(in: 0...600, using: &random)
        let length = context + queryLength
        var sequence = Sequence(
            length: length, queryLength: queryLength,
            queries: random.normals(queryLength * heads.outputColumns, scale: 1.5),
            keys: random.normals(length * heads.keyValueHeads * heads.headSize),
            values: random.normals(length * heads.keyValueHeads * heads.headSize))
        if hasRanges {
            let first = Int32.random(in: 0..<Int32(length), using: &random)
            sequence.prefixRanges = [
                PrefixRange(first: first, last: first + Int32.random(in: 0...80, using: &random)),
                PrefixRange(first: 0, last: Int32.random(in: 0...3, using: &random)),
            ]
        }
        sequences.append(sequence)
    }

    private static func exp2Slope(_ head: Int, of count: Int) -> Float {
        var slope: Float = 1
        for _ in 0...(head * 8 / count) { slope /= 2 }
        return slope
    }
}
