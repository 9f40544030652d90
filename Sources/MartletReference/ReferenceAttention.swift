// SPDX-License-Identifier: Apache-2.0

import MartletCompute

extension ReferenceKernels {
    /// Each row by the formula. The step's plan isn't looked at: it decides who computes, and never what.
    func attention(_ kernel: AttentionKernel, _ batch: BatchBuffers) {
        let parameters = kernel.parameters
        let (queryKeyValue, output) = (activation(kernel.queryKeyValue), activation(kernel.output))
        var formula = AttentionFormula(parameters, sinks: parameters.sinks.flatMap { weights[$0.name]?.numbers })
        let extent = batch.queryQueryBiasExtent
        formula.queryQueryBias = (0..<extent).map { row in
            (0..<extent).map { batch.queryQueryBias[row * batch.capacity.queryQueryBias + $0] }
        }
        for sequence in 0..<batch.sequenceCount {
            formula.prefixRanges = (0..<batch.capacity.prefixRanges).map {
                batch.prefixRanges[sequence * batch.capacity.prefixRanges + $0]
            }
            attend(formula, kernel, sequence: sequence, queryKeyValue, output, batch)
        }
    }

    private func attend(
        _ formula: AttentionFormula, _ kernel: AttentionKernel, sequence: Int,
        _ queryKeyValue: ReferenceWorkspace.Activation, _ output: ReferenceWorkspace.Activation,
        _ batch: BatchBuffers
    ) {
        let (parameters, heads) = (formula.parameters, formula.parameters.heads)
        let (size, rows) = (heads.headSize, batch.rows(of: sequence))
        let contextLength = batch.contextLength(of: sequence)
        let table = batch.blockTable(of: sequence, group: kernel.cacheGroup)
        let slots = (0..<Int(batch.sequenceLengths[sequence])).map { position in
            Int(table[position / cache.shape.blockSize]) * cache.shape.blockSize + position % cache.shape.blockSize
        }
        for shared in 0..<heads.keyValueHeads {
            let keys = slots.flatMap {
                read(
                    cache.key(layer: kernel.cacheLayer, slot: $0, head: shared), parameters, scale: parameters.keyScale)
            }
            let values = slots.flatMap {
                read(
                    cache.value(layer: kernel.cacheLayer, slot: $0, head: shared), parameters,
                    scale: parameters.valueScale)
            }
            for row in rows {
                for head in shared * heads.groupSize..<(shared + 1) * heads.groupSize {
                    let start = row * queryKeyValue.columns + head * size
                    let query = rounded(queryKeyValue.numbers[start..<start + size], parameters)
                    let result = formula.attend(
                        query: query, keys: keys, values: values, position: contextLength + row - rows.lowerBound,
                        contextLength: contextLength, head: head)
                    let first = row * output.columns + head * size
                    for element in 0..<size {
                        let number = Float(result[element] / Double(parameters.outputScale))
                        output.numbers[first + element] = Double(parameters.outputFormat.round(number))
                    }
                }
            }
        }
    }

    /// A query rounded to the format that the cache asks for.
    private func rounded(_ query: ArraySlice<Double>, _ parameters: AttentionParameters) -> [Double] {
        let format = parameters.queryFormat(beside: cache.shape.format)
        let scale = format.isEightBit ? parameters.queryScale : 1
        return query.map { Double(format.round(Float($0) / scale)) * Double(scale) }
    }

    /// The numbers that a head's codes stand for. Beside 8-bit queries the cache's scales go to scores and output, so
    /// that nothing is rounded again.
    private func read(
        _ codes: UnsafeBufferPointer<Float>, _ parameters: AttentionParameters, scale: Float
    ) -> [Double] {
        guard cache.shape.format.isEightBit else { return codes.map(Double.init) }
        let format = parameters.queryFormat(beside: cache.shape.format)
        return codes.map { code in
            format.isEightBit ? Double(code) * Double(scale) : Double(format.round(code * scale))
        }
    }
}
