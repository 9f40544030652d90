// SPDX-License-Identifier: Apache-2.0

import CMartletKernels
import MartletCompute
import Synchronization

/// Packs a tensor's panels, some panels a chunk.
///
/// Unchecked: the tensor's bytes are borrowed for the length of the run, and each chunk writes its own panels.
final class PackingJob: PhasedJob, @unchecked Sendable {
    private let tensor: HostTensor
    private let weight: PanelWeight
    private let hasOverflowed = Atomic(false)

    /// Whether the panels hold all of the tensor; once it has run.
    var fits: Bool { !hasOverflowed.load(ordering: .relaxed) }

    init(tensor: HostTensor, weight: PanelWeight) {
        self.tensor = tensor
        self.weight = weight
    }

    var phaseCount: Int { 1 }
    func chunkCount(phase: Int) -> Int { min(panelCount, 256) }

    /// The sum over all matrices.
    private var panelCount: Int { weight.count * weight.panelCount }

    func run(phase: Int, chunk: Int, of chunkCount: Int, worker: Int) {
        for panel in slice(of: panelCount, chunk: chunk, count: chunkCount) where fits { pack(panel: panel) }
    }

    private func pack(panel: Int) {
        guard let bytes = tensor.bytes.baseAddress else { return }
        let (matrix, panelOfMatrix) = panel.quotientAndRemainder(dividingBy: weight.panelCount)
        let firstOutput = panelOfMatrix * PanelWeight.panelColumns
        let columns = min(PanelWeight.panelColumns, weight.outputs - firstOutput)
        let firstRow = matrix * weight.outputs + firstOutput
        let rows = (bytes + firstRow * tensor.rowBytes).assumingMemoryBound(to: UInt8.self)
        let destination = weight.memory.base + panel * weight.panelBytes
        let bytePanel = destination.assumingMemoryBound(to: UInt8.self)
        let (rowBytes, columnCount, blocks) = (Int64(tensor.rowBytes), Int64(columns), Int64(weight.blocks))
        switch tensor.elementType {
        case .q4_0: martlet_pack_q4_0(rows, rowBytes, columnCount, blocks, bytePanel)
        case .q4_1: martlet_pack_q4_1(rows, rowBytes, columnCount, blocks, bytePanel)
        case .q8_0: martlet_pack_q8_0(rows, rowBytes, columnCount, blocks, bytePanel)
        case .q5_0, .q5_1, .q2_k, .q3_k, .q4_k, .q5_k, .q6_k, .iq4_nl, .iq4_xs, .mxfp4:
            martlet_pack_blocks(weight.format, rows, rowBytes, columnCount, blocks, bytePanel)
        case .float32, .float16, .bfloat16:
            let inputs = weight.inputs
            withUnsafeTemporaryAllocation(of: Float.self, capacity: columns * inputs) { values in
                guard let base = values.baseAddress else { return }
                for column in 0..<columns { tensor.readRow(firstRow + column, to: base + column * inputs) }
                switch weight.format {
                case .words: martlet_pack_words(base, columnCount, Int64(inputs), bytePanel)
                case .twelveBit:
                    if !martlet_pack_twelve_bit(base, columnCount, Int64(inputs), bytePanel) {
                        hasOverflowed.store(true, ordering: .relaxed)
                    }
                default:
                    martlet_pack_bf16(
                        base, columnCount, Int64(inputs), destination.assumingMemoryBound(to: UInt16.self))
                }
            }
        }
    }
}

extension HostTensor {
    /// One row of a plain tensor.
    fileprivate func readRow(_ row: Int, to output: UnsafeMutablePointer<Float>) {
        let start = row * rowBytes
        func bits<Bits: BitwiseCopyable>(_ column: Int, as type: Bits.Type) -> Bits {
            bytes.loadUnaligned(fromByteOffset: start + column * MemoryLayout<Bits>.size, as: type)
        }
        switch elementType {
        case .bfloat16:
            for column in 0..<columns { output[column] = BFloat16.float(bits(column, as: UInt16.self)) }
        case .float16:
            for column in 0..<columns { output[column] = Float(half: bits(column, as: UInt16.self)) }
        default:
            for column in 0..<columns { output[column] = Float(bitPattern: bits(column, as: UInt32.self)) }
        }
    }
}
