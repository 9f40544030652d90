// SPDX-License-Identifier: Apache-2.0

import CMartletKernels
import Glibc
import MartletCompute

struct EmbedRows: RowOperation {
    let name = "embed"
    let table: PanelWeight
    let output: TensorRows

    func run(rows: Range<Int>, batch: BatchBuffers) {
        for row in rows { table.unpack(row: Int(batch.tokenIDs[row]), into: output.row(row)) }
    }
}

/// Computed in f64 once a step and shared by all layers.
///
/// A position's angles are those of the multiple of 64 before it plus those of what is left, by the sum's formulas: rows
/// that follow each other share the first, all steps the second. Positions alone decide how an angle is computed.
struct RotaryAngleRows: RowOperation {
    typealias Angle = (cosine: Double, sine: Double)
    private static let nearCount = 64
    /// Of the largest head.
    private typealias PairAngles = InlineArray<128, Angle>

    let name = "rotary angles"
    private let inverseFrequencies: [Double]
    private let near: [Angle]
    private let output: TensorRows

    /// - Parameter near: `nearAngles` of the same frequencies.
    init(inverseFrequencies: [Double], near: [Angle], output: TensorRows) {
        precondition(inverseFrequencies.count <= Int(MARTLET_MAX_HEAD_SIZE) / 2, "a head is larger than the largest")
        precondition(near.count == Self.nearCount * inverseFrequencies.count, "angles of other frequencies")
        self.inverseFrequencies = inverseFrequencies
        self.near = near
        self.output = output
    }

    /// cos and sin of the first positions' angles, `[nearCount][pairs]`.
    static func nearAngles(_ inverseFrequencies: [Double]) -> [Angle] {
        (0..<nearCount).flatMap { position in
            inverseFrequencies.map { (cos(Double(position) * $0), sin(Double(position) * $0)) }
        }
    }

    func run(rows: Range<Int>, batch: BatchBuffers) {
        let pairs = inverseFrequencies.count
        var far = PairAngles(repeating: (1, 0))
        var start = 0
        for row in rows {
            let place = Int(batch.positions[row]) % Self.nearCount
            if start != Int(batch.positions[row]) - place {
                start = Int(batch.positions[row]) - place
                for (pair, frequency) in inverseFrequencies.enumerated() {
                    far[pair] = (cos(Double(start) * frequency), sin(Double(start) * frequency))
                }
            }
            let angles = output.row(row)
            for pair in 0..<pairs {
                let (a, b) = (far[pair], near[place * pairs + pair])
                angles[pair] = Float(a.cosine * b.cosine - a.sine * b.sine)
                angles[pairs + pair] = Float(a.sine * b.cosine + a.cosine * b.sine)
            }
        }
    }
}

struct NormRows: RowOperation {
    let name = "norm"
    let kernels: MartletKernelTable
    let input: TensorRows
    let weight: UnsafePointer<Float>
    let epsilon: Float
    let output: TensorRows

    func run(rows: Range<Int>, batch: BatchBuffers) {
        for row in rows { run(row: row, into: output.row(row)) }
    }

    func run(row: Int, into output: UnsafeMutablePointer<Float>) {
        kernels.rootMeanSquareNorm(input.row(row), weight, output, Int64(input.columns), epsilon)
    }
}

extension MartletActivations {
    /// What becoming them is called in listings and traces.
    var verb: String { self == .bfloat16 ? "round" : "quantize" }
}

/// Writes a tensor's copy in the form that linear layers read.
struct EncodeRows: RowOperation {
    let kernels: MartletKernelTable
    let input: TensorRows
    let output: MartletLinearInput

    var name: String { output.format.verb }

    func run(rows: Range<Int>, batch: BatchBuffers) { run(rows: rows, columns: 0..<input.columns) }

    /// Some columns: pairs of blocks, unless they are the last.
    func run(rows: Range<Int>, columns: Range<Int>) {
        withUnsafePointer(to: output) {
            kernels.encodeRows(
                input.row(rows.lowerBound) + columns.lowerBound, Int64(input.columns), Int64(rows.lowerBound),
                Int64(rows.count), Int64(columns.lowerBound), Int64(columns.count), $0)
        }
    }
}

struct GatedActivationRows: RowOperation {
    let name = "gated activation"
    let kernels: MartletKernelTable
    let input: TensorRows
    let output: TensorRows

    func run(rows: Range<Int>, batch: BatchBuffers) {
        for row in rows { kernels.siluAndMultiply(input.row(row), output.row(row), Int64(output.columns)) }
    }
}

struct GatherRows: RowOperation {
    let name = "gather"
    let input: TensorRows
    let output: TensorRows

    func run(rows: Range<Int>, batch: BatchBuffers) {
        for row in rows { output.row(row).update(from: input.row(Int(batch.logitRows[row])), count: input.columns) }
    }
}

/// Rotates a row's q and k, and writes its k and v to its slot.
struct RotateAndWriteCacheRows: RowOperation {
    let name = "rotate and write cache"
    let kernels: MartletKernelTable
    let queryKeyValue: TensorRows
    let angles: TensorRows
    let parameters: AttentionParameters
    let cache: CPUKeyValueCache
    let layer: Int

    /// A row's heads: those of q, then k's, then v's.
    var headCount: Int { parameters.heads.queryHeads + 2 * parameters.heads.keyValueHeads }

    func run(rows: Range<Int>, batch: BatchBuffers) { run(rows: rows, heads: 0..<headCount, batch: batch) }

    /// Some of the rows' heads, each of which needs no other.
    func run(rows: Range<Int>, heads: Range<Int>, batch: BatchBuffers) {
        let (headSize, firstValue) = (parameters.heads.headSize, headCount - parameters.heads.keyValueHeads)
        let rotated = heads.clamped(to: 0..<firstValue)
        if !rotated.isEmpty {
            for row in rows {
                kernels.rotateHeads(
                    queryKeyValue.row(row) + rotated.lowerBound * headSize, Int64(rotated.count), Int64(headSize),
                    angles.row(row), Int64(angles.columns / 2))
            }
        }
        let kept = heads.clamped(to: parameters.heads.queryHeads..<headCount)
        var first = kept.isEmpty ? rows.upperBound : rows.lowerBound
        while first < rows.upperBound {
            let slot = Int(batch.slotMapping[first])
            var end = first + 1
            // Rows that follow each other in a block are written together.
            while slot >= 0, end < rows.upperBound, Int(batch.slotMapping[end]) == slot + end - first,
                (slot + end - first) % cache.layout.blockSize != 0
            {
                end += 1
            }
            if slot >= 0 { for head in kept { write(head, of: first..<end, at: slot) } }
            first = end
        }
    }

    private func write(_ head: Int, of rows: Range<Int>, at slot: Int) {
        let (heads, layout) = (parameters.heads, cache.layout)
        let number = (head - heads.queryHeads) % heads.keyValueHeads
        let block = cache.pointers(block: slot / layout.blockSize, layer: layer, head: number)
        let (input, stride) = (queryKeyValue.row(rows.lowerBound) + head * heads.headSize, Int64(queryKeyValue.columns))
        let (place, format) = (Int64(slot % layout.blockSize), MartletFormat(layout.format))
        if head < heads.queryHeads + heads.keyValueHeads {
            kernels.writeKeys(
                input, stride, Int64(rows.count), block.keys, place, Int64(heads.headSize), format,
                parameters.keyScale)
        } else {
            kernels.writeValues(
                input, stride, Int64(rows.count), block.values, place, Int64(heads.headSize), format,
                parameters.valueScale)
        }
    }
}
