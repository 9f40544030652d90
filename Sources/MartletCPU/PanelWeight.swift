// SPDX-License-Identifier: Apache-2.0

import CMartletKernels
import MartletCompute
import Synchronization

/// A matrix packed into panels of 32 output columns for the linear kernels; see `CMartletKernels.h` for the layouts.
final class PanelWeight: DeviceWeight {
    static let panelColumns = Int(MARTLET_PANEL_COLUMNS)

    let format: MartletPanelFormat
    /// Outputs of the layer, rows of the file's matrix.
    let outputs: Int
    let inputs: Int
    let memory: DeviceMemory

    var byteCount: Int { memory.byteCount }
    var panelCount: Int { (outputs + Self.panelColumns - 1) / Self.panelColumns }
    var blocks: Int { inputs / Int(MARTLET_BLOCK_LENGTH) }
    /// As the kernels take it.
    var panels: MartletPanels {
        MartletPanels(base: memory.pointer(), panelBytes: Int64(panelBytes), format: format)
    }

    var panelBytes: Int { format.panelBytes(inputs: inputs) }

    private init(format: MartletPanelFormat, outputs: Int, inputs: Int, memory: DeviceMemory) {
        self.format = format
        self.outputs = outputs
        self.inputs = inputs
        self.memory = memory
    }

    static func pack(
        _ tensor: HostTensor, for kernels: MartletKernelTable, on pool: WorkerPool
    ) throws(DeviceError) -> PanelWeight {
        let format = MartletPanelFormat(tensor.elementType, for: kernels)
        if let weight = try pack(tensor, as: format, on: pool) { return weight }
        // Rare: packs again as bf16. A small first allocation stays unused in its shared mapping.
        if format == .twelveBit, let weight = try pack(tensor, as: .bfloat16, on: pool) { return weight }
        preconditionFailure("every matrix fits panels of \(format)")
    }

    /// nil where the format can't hold the tensor's numbers.
    private static func pack(
        _ tensor: HostTensor, as format: MartletPanelFormat, on pool: WorkerPool
    ) throws(DeviceError) -> PanelWeight? {
        guard let byteCount = byteCount(format, rows: tensor.rows, columns: tensor.columns) else {
            throw DeviceError(code: .outOfMemory, message: "a weight is too large to address")
        }
        let weight = PanelWeight(
            format: format, outputs: tensor.rows, inputs: tensor.columns,
            memory: try DeviceMemory(byteCount: byteCount))
        let job = PackingJob(tensor: tensor, weight: weight)
        pool.run(job)
        return job.fits ? weight : nil
    }

    /// Bytes of a packed matrix, nil where they can't be addressed.
    static func byteCount(_ format: MartletPanelFormat, rows: Int, columns: Int) -> Int? {
        let panels = (rows + panelColumns - 1) / panelColumns
        let (bytes, overflow) = format.panelBytes(inputs: columns).multipliedReportingOverflow(by: panels)
        return overflow ? nil : bytes
    }

    /// Reads one row of the original matrix back: an embedding.
    func unpack(row: Int, into output: UnsafeMutablePointer<Float>) {
        let panel = memory.base + row / Self.panelColumns * panelBytes
        let column = Int64(row % Self.panelColumns)
        switch format {
        case .fourBit:
            martlet_unpack_four_bit(panel.assumingMemoryBound(to: UInt8.self), column, Int64(blocks), output)
        case .centeredFourBit:
            martlet_unpack_centered_four_bit(
                panel.assumingMemoryBound(to: UInt8.self), column, Int64(blocks), output)
        case .eightBit:
            martlet_unpack_eight_bit(panel.assumingMemoryBound(to: UInt8.self), column, Int64(blocks), output)
        case .words:
            martlet_unpack_words(panel.assumingMemoryBound(to: UInt8.self), column, Int64(inputs), output)
        case .bfloat16:
            martlet_unpack_bf16(panel.assumingMemoryBound(to: UInt16.self), column, Int64(inputs), output)
        case .twelveBit:
            martlet_unpack_twelve_bit(panel.assumingMemoryBound(to: UInt8.self), column, Int64(inputs), output)
        }
    }
}

extension MartletPanelFormat {
    /// What a table's kernels read such a matrix as; of twelve bits where its numbers fit them, else of bf16.
    init(_ elementType: ElementType, for kernels: MartletKernelTable) {
        switch elementType {
        case .q4_0: self = .centeredFourBit
        case .q4_1: self = .fourBit
        case .q8_0: self = .eightBit
        case .float32, .float16, .bfloat16: self = kernels.floatPanels
        }
    }

    /// Whether the file's own matrix is.
    var isQuantized: Bool {
        switch self {
        case .fourBit, .centeredFourBit, .eightBit: true
        case .words, .bfloat16, .twelveBit: false
        }
    }

    /// What activations are rounded to before they meet such panels.
    func activations(_ precision: ActivationPrecision) -> MartletActivations {
        switch self {
        case .fourBit, .centeredFourBit, .eightBit: precision == .int16 ? .int16 : .int8
        case .words: .words
        case .bfloat16, .twelveBit: .bfloat16
        }
    }

    func panelBytes(inputs: Int) -> Int {
        let length = Int(MARTLET_BLOCK_LENGTH)
        return switch self {
        case .fourBit: inputs / length * Int(MARTLET_FOUR_BIT_BLOCK_BYTES)
        case .centeredFourBit: inputs / length * Int(MARTLET_CENTERED_FOUR_BIT_BLOCK_BYTES)
        case .eightBit: inputs / length * Int(MARTLET_EIGHT_BIT_BLOCK_BYTES)
        case .words: (inputs + length - 1) / length * Int(MARTLET_WORDS_BLOCK_BYTES)
        // Pairs of inputs, so an even number of them.
        case .bfloat16: (inputs + inputs % 2) * PanelWeight.panelColumns * 2
        case .twelveBit:
            (inputs + Int(MARTLET_TWELVE_BIT_INPUTS) - 1) / Int(MARTLET_TWELVE_BIT_INPUTS)
                * Int(MARTLET_TWELVE_BIT_BLOCK_BYTES)
        }
    }
}

/// A vector as f32.
final class VectorWeight: DeviceWeight {
    let count: Int
    let memory: DeviceMemory
    var byteCount: Int { memory.byteCount }

    init(_ values: [Float]) throws(DeviceError) {
        count = values.count
        memory = try DeviceMemory(byteCount: values.count * 4)
        memory.pointer(to: Float.self).update(from: values, count: values.count)
    }
}

/// Packs a tensor's panels, some panels a chunk.
///
/// Unchecked: the tensor's bytes are borrowed for the length of the run, and each chunk writes its own panels.
private final class PackingJob: PhasedJob, @unchecked Sendable {
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
    func chunkCount(phase: Int) -> Int { min(weight.panelCount, 256) }

    func run(phase: Int, chunk: Int, of chunkCount: Int, worker: Int) {
        for panel in slice(of: weight.panelCount, chunk: chunk, count: chunkCount) where fits { pack(panel: panel) }
    }

    private func pack(panel: Int) {
        guard let bytes = tensor.bytes.baseAddress else { return }
        let firstRow = panel * PanelWeight.panelColumns
        let columns = min(PanelWeight.panelColumns, weight.outputs - firstRow)
        let rows = (bytes + firstRow * tensor.rowBytes).assumingMemoryBound(to: UInt8.self)
        let destination = weight.memory.base + panel * weight.panelBytes
        let bytePanel = destination.assumingMemoryBound(to: UInt8.self)
        let (rowBytes, columnCount, blocks) = (Int64(tensor.rowBytes), Int64(columns), Int64(weight.blocks))
        switch tensor.elementType {
        case .q4_0: martlet_pack_q4_0(rows, rowBytes, columnCount, blocks, bytePanel)
        case .q4_1: martlet_pack_q4_1(rows, rowBytes, columnCount, blocks, bytePanel)
        case .q8_0: martlet_pack_q8_0(rows, rowBytes, columnCount, blocks, bytePanel)
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

/// The items of one chunk where `total` items are dealt to `count` chunks evenly.
func slice(of total: Int, chunk: Int, count: Int) -> Range<Int> {
    total * chunk / count..<total * (chunk + 1) / count
}
