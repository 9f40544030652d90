// SPDX-License-Identifier: Apache-2.0

import CMartletKernels
package import MartletCompute

/// One layer's attention as the kernels take it, and the tables that it points into.
package final class AttentionLayer {
    let parameters: AttentionParameters
    /// The group whose block tables name its blocks.
    private let cacheGroup: Int
    let kernels: MartletKernelTable
    private let arguments: MartletAttentionLayer
    // What the arguments point into.
    private let cache: CPUKeyValueCache
    private let tables: [AlignedMemory]
    private let slopes: VectorWeight?

    init(
        _ parameters: AttentionParameters, kernels: MartletKernelTable, cache: CPUKeyValueCache, layer: Int,
        cacheGroup: Int = 0, segmentLength: Int, sinks: UnsafePointer<Float>?
    ) throws(DeviceError) {
        try Self.check(parameters, cache.shape, layer: layer)
        let (queryFormat, cacheFormat) = (parameters.queryFormat(beside: cache.shape.format), cache.shape.format)
        let product = parameters.product(beside: cacheFormat)
        // Beside 8-bit queries the cache's codes are multiplied as they are; its scales go to scores and output.
        let isRaw = queryFormat.isEightBit && cacheFormat.isEightBit
        var scale = parameters.scale
        if queryFormat.isEightBit { scale *= parameters.queryScale }
        if isRaw { scale *= parameters.keyScale }
        func codeTable(scale: Float) throws(DeviceError) -> AlignedMemory? {
            guard case .float(let format) = cacheFormat, format.isEightBit else { return nil }
            return try Self.codeTable(
                format, scale: isRaw ? 1 : scale, roundedTo: isRaw ? .float32 : queryFormat, for: product)
        }
        let keyTable = try codeTable(scale: parameters.keyScale)
        let valueTable = try codeTable(scale: parameters.valueScale)
        let slopes = try parameters.alibi.map { alibi throws(DeviceError) in try VectorWeight(alibi.slopes) }
        let (window, chunk, lookback) =
            switch parameters.visibility.scope {
            case .all: (0, 0, 0)
            case .window(let length): (length, 0, 0)
            case .chunks(let length, let lookback): (0, length, lookback)
            }
        arguments = MartletAttentionLayer(
            cache: cache.pointer(layer: layer), chunkBytes: Int64(cache.chunkBytes),
            chunkBlocks: Int64(cache.chunkBlocks), cacheFormat: MartletFormat(cacheFormat),
            queryFormat: MartletFormat(queryFormat), outputFormat: MartletFormat(parameters.outputFormat),
            product: MartletProduct(product), keyTable: keyTable.map { UnsafeRawPointer($0.base) },
            valueTable: valueTable.map { UnsafeRawPointer($0.base) },
            keyValueHeads: Int64(parameters.heads.keyValueHeads), groupSize: Int64(parameters.heads.groupSize),
            headSize: Int64(parameters.heads.headSize), blockSize: Int64(cache.shape.blockSize),
            segmentLength: Int64(segmentLength), queryScale: parameters.queryScale, scale: scale,
            outputFactor: (isRaw ? parameters.valueScale : 1) / parameters.outputScale,
            softcap: parameters.softcap ?? 0, causal: parameters.visibility.isCausal, window: Int64(window),
            chunk: Int64(chunk), chunkLookback: Int64(lookback),
            sinks: sinks,
            slopes: slopes.map { UnsafePointer($0.memory.pointer()) },
            slopesOfSquareRoot: parameters.alibi?.usesSquareRoot ?? false)
        self.parameters = parameters
        self.cacheGroup = cacheGroup
        self.kernels = kernels
        self.cache = cache
        tables = [keyTable, valueTable].compactMap(\.self)
        self.slopes = slopes
    }

    /// Floats of a partial: all query heads.
    var partialFloats: Int { Self.partialFloats(parameters.heads) }

    package static func partialFloats(_ heads: AttentionHeads) -> Int {
        heads.queryHeads * Int(martlet_partial_floats(Int64(heads.headSize)))
    }

    func withArguments<Result>(_ body: (UnsafePointer<MartletAttentionLayer>) -> Result) -> Result {
        withExtendedLifetime(self) { withUnsafePointer(to: arguments, body) }
    }

    /// The kernels' form of a work item. `query` and `output` are whole tensors of the step.
    func item(
        _ item: AttentionItem, _ batch: BatchBuffers, query: TensorRows, output: TensorRows,
        partials: UnsafeMutablePointer<Float>
    ) -> MartletAttentionItem {
        let (sequence, row) = (Int(item.sequence), Int(item.firstRow))
        guard let blockTable = batch.blockTable(of: sequence, group: cacheGroup).baseAddress else {
            preconditionFailure("a sequence has blocks")
        }
        let contextLength = batch.contextLength(of: sequence)
        let firstPartial = item.firstPartial < 0 ? nil : partials + Int(item.firstPartial) * partialFloats
        let ranges = UnsafePointer(batch.prefixRanges.baseAddress).map {
            UnsafeRawPointer($0 + sequence * batch.capacity.prefixRanges).assumingMemoryBound(to: Int32.self)
        }
        let hasBias = batch.queryQueryBiasExtent > 0
        return MartletAttentionItem(
            query: query.row(row), queryStride: Int64(query.columns), output: output.row(row),
            outputStride: Int64(output.columns),
            blockTable: blockTable, rows: Int64(item.rowCount),
            firstPosition: Int64(contextLength + row - batch.rows(of: sequence).lowerBound),
            contextLength: Int64(contextLength), sequenceLength: Int64(batch.sequenceLengths[sequence]),
            firstSegment: Int64(item.firstSegment), segmentCount: Int64(item.segmentCount), partials: firstPartial,
            partialStride: Int64(item.partialStride), prefixRanges: ranges,
            prefixRangeCount: Int64(batch.capacity.prefixRanges),
            bias: hasBias ? UnsafePointer(batch.queryQueryBias.baseAddress) : nil,
            biasStride: Int64(batch.capacity.queryQueryBias), biasExtent: Int64(batch.queryQueryBiasExtent))
    }

    /// What each code of an 8-bit format stands for once it is scaled and rounded as the reference rounds it: bf16
    /// codes, or f32 where products are.
    private static func codeTable(
        _ format: FloatFormat, scale: Float, roundedTo rounding: FloatFormat, for product: CPUDevice.Product
    ) throws(DeviceError) -> AlignedMemory {
        let isWide = product == .float32
        let table = try AlignedMemory(byteCount: 256 * (isWide ? 4 : 2))
        for code in 0..<256 {
            let value = rounding.round(format.decode(UInt32(code)) * scale)
            if isWide {
                table.pointer(to: Float.self)[code] = value
            } else {
                table.pointer(to: UInt16.self)[code] = BFloat16.round(value)
            }
        }
        return table
    }

    static func check(_ parameters: AttentionParameters, _ shape: CacheShape, layer: Int) throws(DeviceError) {
        func require(_ condition: Bool, _ message: @autoclosure () -> String) throws(DeviceError) {
            guard condition else { throw DeviceError(code: .unsupported, message: message()) }
        }
        func isScale(_ value: Float) -> Bool { value > 0 && value.isFinite }
        let heads = parameters.heads
        try require(
            shape.layers.indices.contains(layer)
                && shape.layers[layer]
                    == CacheShape.Layer(keyValueHeads: heads.keyValueHeads, headSize: heads.headSize),
            "attention and cache differ in their heads")
        try require(isScale(parameters.scale), "the attention scale is \(parameters.scale); it must be positive")
        try require(
            parameters.softcap.map(isScale) ?? true, "the softcap is \(parameters.softcap ?? 0); it must be positive")
        for scale in [parameters.queryScale, parameters.keyScale, parameters.valueScale, parameters.outputScale] {
            try require(isScale(scale), "a quantisation scale is \(scale); it must be positive")
        }
        // Far beyond any context, and small enough to calculate with.
        let range = 1...(1 << 30)
        switch parameters.visibility.scope {
        case .all: break
        case .window(let window):
            try require(range.contains(window), "the attention window is \(window); it must be in \(range)")
        case .chunks(let length, let lookback):
            try require(
                range.contains(length) && (lookback == 0 || range.contains(lookback)),
                "attention chunks of \(length) with \(lookback) before them; they must be in \(range)")
        }
        try require(
            parameters.alibi.map { $0.slopes.count == heads.queryHeads } ?? true,
            "there are \(parameters.alibi?.slopes.count ?? 0) ALiBi slopes for \(heads.queryHeads) query heads")
    }
}

extension AttentionParameters {
    /// What is multiplied: int16 if the cache keeps it, bf16 where it holds both queries and cache exactly, else f32.
    package func product(beside cache: CacheFormat) -> CPUDevice.Product {
        if cache == .int16 { return .int16 }
        return queryFormat(beside: cache).fitsBFloat16 && cache.fitsBFloat16 ? .bfloat16 : .float32
    }
}
