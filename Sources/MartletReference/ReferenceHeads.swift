// SPDX-License-Identifier: Apache-2.0

import MartletCompute

extension ReferenceKernels {
    func prepareHeads(_ kernel: HeadPreparation, _ batch: BatchBuffers) {
        let (heads, size) = (kernel.heads, kernel.heads.headSize)
        let (queries, keys) = (0..<heads.queryHeads * size, heads.queryHeads * size..<heads.queryKeyValueColumns)
        let keyColumns = keys.prefix(heads.keyValueHeads * size)
        let valueColumns = keys.suffix(heads.keyValueHeads * size)
        let queryKeyValue = activation(kernel.queryKeyValue)
        for row in 0..<batch.tokenCount {
            var numbers = queryKeyValue[row]
            if let limit = kernel.clamp.map(Double.init) {
                numbers = numbers.map { $0.isNaN ? $0 : min(max($0, -limit), limit) }
            }
            var query = normed(Array(numbers[queries]), kernel.queryNorm, size)
            var key = normed(Array(numbers[keyColumns]), kernel.keyNorm, size)
            let value = normed(Array(numbers[valueColumns]), kernel.valueNorm, size)
            if let rotation = kernel.rotation {
                let angles = activation(rotation.angles)[row]
                query = rotated(query, size, angles, rotation.pairing)
                key = rotated(key, size, angles, rotation.pairing)
            }
            if let temperature = kernel.queryTemperature {
                let factor = temperature.factor(position: Int(batch.positions[row]))
                query = query.map { $0 * factor }
            }
            queryKeyValue[row] = query + key + value
            writeToCache(kernel, key: key, value: value, slot: Int(batch.slots(ofGroup: kernel.cacheGroup)[row]))
        }
    }

    /// Heads after a norm of each, or of all together.
    private func normed(_ heads: [Double], _ norm: HeadNorm?, _ size: Int) -> [Double] {
        guard let norm else { return heads }
        let weight = norm.weight.map(numbers)
        let length = norm.extent == .head ? size : heads.count
        return stride(from: 0, to: heads.count, by: length).flatMap { start in
            // Heads share a weight of one head's length.
            let own = weight.map { $0.count == heads.count ? Array($0[start..<start + length]) : $0 }
            return Self.norm(Array(heads[start..<start + length]), norm.kind, own, epsilon: Double(norm.epsilon))
        }
    }

    private func rotated(
        _ heads: [Double], _ size: Int, _ angles: [Double], _ pairing: HeadRotation.Pairing
    ) -> [Double] {
        stride(from: 0, to: heads.count, by: size).flatMap { Self.rotate(heads[$0..<$0 + size], angles, pairing) }
    }

    /// Turns pairs by a row's `[cos | sin]`, as many as those are; the rest stays.
    static func rotate(
        _ head: ArraySlice<Double>, _ angles: [Double], _ pairing: HeadRotation.Pairing
    ) -> [Double] {
        var result = Array(head)
        let pairs = angles.count / 2
        for pair in 0..<pairs {
            let (first, second) = pairing == .adjacent ? (2 * pair, 2 * pair + 1) : (pair, pair + pairs)
            let (a, b) = (result[first], result[second])
            result[first] = a * angles[pair] - b * angles[pairs + pair]
            result[second] = a * angles[pairs + pair] + b * angles[pair]
        }
        return result
    }

    private func writeToCache(_ kernel: HeadPreparation, key: [Double], value: [Double], slot: Int) {
        guard slot >= 0 else { return }
        let size = kernel.heads.headSize
        for head in 0..<kernel.heads.keyValueHeads {
            func own(_ heads: [Double]) -> [Float] { heads[head * size..<(head + 1) * size].map { Float($0) } }
            cache.write(
                key: kept(own(key), scale: kernel.keyScale, largest: Int16Head.largestOfKey),
                value: kept(own(value), scale: kernel.valueScale, largest: Int16Head.largestOfValue),
                layer: kernel.cacheLayer, slot: slot, head: head)
        }
    }

    /// What the cache keeps of a head's numbers; of 8-bit formats the codes' own numbers, without their scale.
    private func kept(_ numbers: [Float], scale: Float, largest: Float) -> [Float] {
        switch cache.shape.format {
        case .int16: Int16Head(rounding: numbers, largest: largest).numbers
        case .float(let format) where format.isEightBit: numbers.map { format.round($0 / scale) }
        case .float(let format): numbers.map { format.round($0) }
        }
    }
}
