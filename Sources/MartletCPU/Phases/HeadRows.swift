// SPDX-License-Identifier: Apache-2.0

import CMartletKernels
import MartletCompute

/// Makes a row's q, k and v ready, and writes its k and v to its slot.
package struct HeadRows: RowOperation {
    /// A norm of some heads.
    struct Norm {
        let norm: MartletNorm
        /// Elements that share a mean.
        let length: Int
        /// From the weight of one of these to the next.
        let weightStride: Int

        init(_ norm: HeadNorm, weight: UnsafePointer<Float>?, heads: Int, headSize: Int) {
            self.norm = MartletNorm(
                weight: weight, bias: nil, epsilon: norm.epsilon, centers: norm.kind == .layer, accumulates: false)
            let length = norm.extent == .head ? headSize : heads * headSize
            self.length = length
            weightStride = norm.weight.map { $0.rows * $0.columns > length } == true ? length : 0
        }
    }

    let name = "prepare heads and write cache"
    let kernels: MartletKernelTable
    let preparation: HeadPreparation
    let queryKeyValue: TensorRows
    let angles: TensorRows?
    let queryNorm: Norm?
    let keyNorm: Norm?
    let valueNorm: Norm?
    let cache: CPUKeyValueCache

    private var heads: AttentionHeads { preparation.heads }
    /// A row's heads: those of q, then k's, then v's.
    private var headCount: Int { heads.queryHeads + 2 * heads.keyValueHeads }
    private var keyHeads: Range<Int> { heads.queryHeads..<heads.queryHeads + heads.keyValueHeads }

    func run(rows: Range<Int>, batch: BatchBuffers) { run(rows: rows, heads: 0..<headCount, batch: batch) }

    /// Some of the rows' heads, each of which needs no other where no norm is over all heads.
    func run(rows: Range<Int>, heads: Range<Int>, batch: BatchBuffers) {
        if let limit = preparation.clamp { clamp(rows: rows, heads: heads, to: limit) }
        run(queryNorm, rows, heads.clamped(to: 0..<keyHeads.lowerBound), first: 0)
        run(keyNorm, rows, heads.clamped(to: keyHeads), first: keyHeads.lowerBound)
        run(valueNorm, rows, heads.clamped(to: keyHeads.upperBound..<headCount), first: keyHeads.upperBound)
        rotate(rows: rows, heads: heads.clamped(to: 0..<keyHeads.upperBound))
        if let temperature = preparation.queryTemperature {
            scale(rows: rows, heads: heads.clamped(to: 0..<keyHeads.lowerBound), by: temperature, batch)
        }
        writeToCache(rows: rows, heads: heads.clamped(to: keyHeads.lowerBound..<headCount), batch: batch)
    }

    private func clamp(rows: Range<Int>, heads: Range<Int>, to limit: Float) {
        let headSize = self.heads.headSize
        for row in rows {
            let numbers = queryKeyValue.row(row)
            for column in heads.lowerBound * headSize..<heads.upperBound * headSize {
                // NaN stays.
                if numbers[column] > limit { numbers[column] = limit }
                if numbers[column] < -limit { numbers[column] = -limit }
            }
        }
    }

    private func run(_ norm: Norm?, _ rows: Range<Int>, _ heads: Range<Int>, first: Int) {
        guard let norm, !heads.isEmpty else { return }
        let headSize = self.heads.headSize
        for row in rows {
            for start in stride(from: heads.lowerBound * headSize, to: heads.upperBound * headSize, by: norm.length) {
                var own = norm.norm
                if norm.weightStride > 0 { own.weight = own.weight.map { $0 + (start - first * headSize) } }
                let numbers = queryKeyValue.row(row) + start
                kernels.norm(&own, numbers, numbers, Int64(norm.length))
            }
        }
    }

    private func rotate(rows: Range<Int>, heads: Range<Int>) {
        guard let angles, let pairing = preparation.rotation?.pairing, !heads.isEmpty else { return }
        let (headSize, pairs) = (self.heads.headSize, Int64(angles.columns / 2))
        let rotate = pairing == .adjacent ? kernels.rotateHeads : kernels.rotateHalves
        for row in rows {
            rotate(
                queryKeyValue.row(row) + heads.lowerBound * headSize, Int64(heads.count), Int64(headSize),
                angles.row(row), pairs)
        }
    }

    private func scale(
        rows: Range<Int>, heads: Range<Int>, by temperature: QueryTemperature, _ batch: BatchBuffers
    ) {
        let headSize = self.heads.headSize
        for row in rows {
            let factor = Float(temperature.factor(position: Int(batch.positions[row])))
            let numbers = queryKeyValue.row(row)
            for column in heads.lowerBound * headSize..<heads.upperBound * headSize { numbers[column] *= factor }
        }
    }

    private func writeToCache(rows: Range<Int>, heads: Range<Int>, batch: BatchBuffers) {
        let slots = batch.slots(ofGroup: preparation.cacheGroup)
        var first = heads.isEmpty ? rows.upperBound : rows.lowerBound
        while first < rows.upperBound {
            let slot = Int(slots[first])
            var end = first + 1
            // Rows that follow each other in a block are written together.
            while slot >= 0, end < rows.upperBound, Int(slots[end]) == slot + end - first,
                (slot + end - first) % cache.shape.blockSize != 0
            {
                end += 1
            }
            if slot >= 0 { for head in heads { write(head, of: first..<end, at: slot) } }
            first = end
        }
    }

    private func write(_ head: Int, of rows: Range<Int>, at slot: Int) {
        let shape = cache.shape
        let number = (head - heads.queryHeads) % heads.keyValueHeads
        let block = cache.pointers(block: slot / shape.blockSize, layer: preparation.cacheLayer, head: number)
        let (input, stride) = (queryKeyValue.row(rows.lowerBound) + head * heads.headSize, Int64(queryKeyValue.columns))
        let (offset, format) = (Int64(slot % shape.blockSize), MartletFormat(shape.format))
        if head < keyHeads.upperBound {
            kernels.writeKeys(
                input, stride, Int64(rows.count), block.keys, offset, Int64(heads.headSize), format,
                preparation.keyScale)
        } else {
            kernels.writeValues(
                input, stride, Int64(rows.count), block.values, offset, Int64(heads.headSize), format,
                preparation.valueScale)
        }
    }
}
