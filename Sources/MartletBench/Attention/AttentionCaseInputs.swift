// SPDX-License-Identifier: Apache-2.0

import MartletCheckpoints
import MartletCompute

/// A case's tensors, checked: nothing after this can be out of range.
struct AttentionCaseInputs {
    let parameters: AttentionParameters
    let outputFormat: FloatFormat
    let cacheShape: CacheShape
    let sinks: [Float]?
    let bias: [[Float]]
    let sequences: [IsolatedAttention.Sequence]
    /// `[tokens, queryHeads, headSize]`
    let queries: [Float]
    /// `[blocks * blockSize, keyValueHeads, headSize]`
    let keys: [Float]
    let values: [Float]
    /// `[tokens, queryHeads, headSize]`, in the output's own units.
    let exact: [Double]

    init(
        _ file: SafetensorsFile, _ description: AttentionCaseDescription.Parameters, name: String,
        keptAs format: CacheFormat? = nil, for device: any ComputeDevice
    ) throws {
        func require(_ condition: Bool, _ message: @autoclosure () -> String) throws {
            guard condition else { throw CheckpointError(.invalidMetadata, "case \(name): \(message())") }
        }
        func type(_ tensor: String) throws -> FloatFormat {
            guard let format = file.floatFormat(try file.required(tensor)) else {
                throw CheckpointError(.unsupportedTensorType, "case \(name): \(tensor) is of a type attention lacks")
            }
            return format
        }
        func scalar(_ tensor: String) throws -> Float {
            file.tensors[tensor] == nil ? 1 : try file.floats(tensor).first ?? 1
        }
        let (q, k) = (try file.required("q").shape, try file.required("k").shape)
        try require(q.count == 3 && k.count == 4, "q must be [tokens, heads, size], k [blocks, tokens, heads, size]")
        try require(try file.required("v").shape == k, "k and v differ in shape")
        try require(
            q[2] == k[3] && q.allSatisfy { $0 > 0 } && k.allSatisfy { $0 > 0 } && q[1] % k[2] == 0,
            "q \(q) and k \(k) don't fit each other")
        let heads = AttentionHeads(queryHeads: q[1], keyValueHeads: k[2], headSize: q[2])
        let (queryFormat, cacheFormat) = (try type("q"), try type("k"))
        try require(try type("v") == cacheFormat, "k and v differ in type")
        cacheShape = CacheShape(
            layers: 1, keyValueHeads: k[2], headSize: k[3], blockSize: k[1], blockCount: k[0],
            format: format ?? .float(cacheFormat))
        // Refuses sizes that can't be addressed before anything is reckoned with them.
        _ = try device.byteCount(of: cacheShape)
        outputFormat = try Self.outputFormat(description.outputType, name) ?? queryFormat

        var parameters = AttentionParameters(heads: heads, scale: description.scale)
        parameters.softcap = description.softcap
        parameters.visibility = try Self.visibility(description, name)
        parameters.queryFormat = queryFormat
        parameters.queryScale = queryFormat.isEightBit ? try scalar("q_scale") : 1
        parameters.keyScale = cacheFormat.isEightBit ? try scalar("k_scale") : 1
        parameters.valueScale = cacheFormat.isEightBit ? try scalar("v_scale") : 1
        parameters.outputFormat = outputFormat
        parameters.outputScale = try scalar("output_scale")
        if file.tensors["alibi_slopes"] != nil {
            parameters.alibi = ALiBi(
                slopes: try file.floats("alibi_slopes"), usesSquareRoot: description.usesSquareRootALiBi)
        }
        sinks = file.tensors["sinks"] == nil ? nil : try file.floats("sinks")
        try require(sinks.map { $0.count == heads.queryHeads } ?? true, "there is not one sink for each query head")
        self.parameters = parameters

        sequences = try Self.sequences(file, tokens: q[0], cacheShape: cacheShape, name)
        bias = try Self.bias(file, longest: sequences.map(\.queryLength).max() ?? 0, name)
        exact = try file.doubles("ref64")
        try require(try file.required("ref64").shape == q, "ref64 and q differ in shape")
        try require(exact.allSatisfy(\.isFinite), "ref64 is not finite everywhere")
        // 8-bit tensors hold codes; the device is given the numbers and divides by the scales again.
        let (queryScale, keyScale, valueScale) = (parameters.queryScale, parameters.keyScale, parameters.valueScale)
        queries = try file.floats("q").map { $0 * queryScale }
        keys = try file.floats("k").map { $0 * keyScale }
        values = try file.floats("v").map { $0 * valueScale }
    }

    /// An attention layer whose cache holds the case's K and V, ready for its queries.
    func makeAttention(on device: any ComputeDevice) throws -> IsolatedAttention {
        let attention = try IsolatedAttention(
            parameters, shape: cacheShape,
            capacity: BatchCapacity(
                tokens: max(1, sequences.reduce(0) { $0 + $1.queryLength }), sequences: max(1, sequences.count),
                blocksPerSequence: max(1, sequences.map(\.blockTable.count).max() ?? 1), logitRows: 1,
                prefixRanges: sequences.map(\.prefixRanges.count).max() ?? 0, queryQueryBias: bias.count),
            sinks: sinks, on: device)
        let slots = cacheShape.blockCount * cacheShape.blockSize
        try attention.store(keys: keys, values: values, slots: (0..<slots).map(Int64.init))
        attention.prepare(sequences)
        attention.setQueryQueryBias(bias)
        return attention
    }

    private static func outputFormat(_ name: String?, _ caseName: String) throws -> FloatFormat? {
        switch name?.split(separator: ".").last {
        case nil: return nil
        case "bfloat16": return .bfloat16
        case "float16": return .float16
        case "float32": return .float32
        case "float8_e4m3fn": return .float8E4M3
        case "float8_e5m2": return .float8E5M2
        case let other?:
            throw CheckpointError(
                .unsupportedTensorType, "case \(caseName): outputs of type \(other) are not supported")
        }
    }

    private static func visibility(
        _ description: AttentionCaseDescription.Parameters, _ name: String
    ) throws -> AttentionVisibility {
        var visibility = AttentionVisibility(isCausal: description.isCausal)
        guard let window = description.window, window > 0 else { return visibility }
        if let lookback = description.chunkLookback, lookback >= 0 {
            let length = lookback < window ? window / (lookback + 1) : 0
            guard length > 0 else {
                throw CheckpointError(
                    .invalidMetadata, "case \(name): a window of \(window) holds no \(lookback) chunks and one more")
            }
            visibility.scope = .chunks(length: length, lookback: lookback)
        } else {
            visibility.scope = .window(window)
        }
        return visibility
    }

    private static func sequences(
        _ file: SafetensorsFile, tokens: Int, cacheShape: CacheShape, _ name: String
    ) throws -> [IsolatedAttention.Sequence] {
        func invalid(_ message: String) -> CheckpointError {
            CheckpointError(.invalidMetadata, "case \(name): \(message)")
        }
        // Small enough to calculate with, and larger than anything that is computed.
        let range = 0...(1 << 30)
        let lengths = try file.integers("seq_lens")
        let starts = try file.integers("cu_seqlens_q")
        let table = try file.integers("block_table")
        let shape = try file.required("block_table").shape
        guard shape.count == 2, shape[0] == lengths.count, lengths.count + 1 == starts.count, starts.first == 0,
            starts.last == tokens, (lengths + starts + [shape[1]]).allSatisfy(range.contains),
            range.contains(cacheShape.blockCount), shape[1] <= range.upperBound / cacheShape.blockSize
        else { throw invalid("seq_lens, cu_seqlens_q and block_table don't fit each other") }
        let columns = shape[1]
        let ranges = file.tensors["mm_prefix_range"] == nil ? [] : try file.integers("mm_prefix_range")
        let perSequence = lengths.isEmpty ? 0 : ranges.count / lengths.count / 2
        guard ranges.count == perSequence * lengths.count * 2, ranges.allSatisfy(range.contains) else {
            throw invalid("mm_prefix_range must be [sequences, ranges, 2] of positions")
        }
        return try lengths.indices.map { index in
            let (queryLength, length) = (starts[index + 1] - starts[index], lengths[index])
            guard queryLength >= 0, queryLength <= length, length <= columns * cacheShape.blockSize else {
                throw invalid("sequence \(index) has \(length) keys and \(queryLength) query tokens")
            }
            let used = (length + cacheShape.blockSize - 1) / cacheShape.blockSize
            let blocks = table[index * columns..<index * columns + used]
            guard blocks.allSatisfy({ (0..<cacheShape.blockCount).contains($0) }) else {
                throw invalid("sequence \(index) names a block that isn't there")
            }
            return IsolatedAttention.Sequence(
                queryLength: queryLength, length: length, blockTable: blocks.map(Int32.init),
                prefixRanges: (0..<perSequence).map { range in
                    let at = (index * perSequence + range) * 2
                    return PrefixRange(first: Int32(ranges[at]), last: Int32(ranges[at + 1]))
                })
        }
    }

    /// The square part of the bias that queries reach; what is missing adds nothing.
    private static func bias(_ file: SafetensorsFile, longest: Int, _ name: String) throws -> [[Float]] {
        guard let shape = file.tensors["qq_bias"]?.shape else { return [] }
        guard shape.count == 2 else { throw CheckpointError(.invalidMetadata, "case \(name): qq_bias is no matrix") }
        let values = try file.floats("qq_bias")
        let extent = min(longest, max(shape[0], shape[1]))
        // Padding the matrix to a square must not take much more memory than the file holds.
        guard extent <= 4096 || extent <= values.count / extent else {
            throw CheckpointError(.invalidMetadata, "case \(name): qq_bias is \(shape), far from square")
        }
        return (0..<extent).map { row in
            (0..<extent).map { column in
                row < shape[0] && column < shape[1] ? values[row * shape[1] + column] : 0
            }
        }
    }
}
