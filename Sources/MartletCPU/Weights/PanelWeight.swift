// SPDX-License-Identifier: Apache-2.0

package import CMartletKernels
package import MartletCompute

/// A matrix packed into panels of 32 output columns for the linear kernels; see `CMartletKernels.h` for the layouts.
package final class PanelWeight: DeviceWeight {
    static let panelColumns = Int(MARTLET_PANEL_COLUMNS)

    package let format: MartletPanelFormat
    /// Matrices, whose panels follow each other.
    let count: Int
    /// Outputs of a layer, rows of one of the file's matrices.
    package let outputs: Int
    let inputs: Int
    let memory: AlignedMemory

    package var byteCount: Int { memory.byteCount }
    /// Panels of one matrix.
    package var panelCount: Int { Self.panelCount(outputs: outputs) }

    static func panelCount(outputs: Int) -> Int { (outputs + panelColumns - 1) / panelColumns }

    var blocks: Int { inputs / Int(MARTLET_BLOCK_LENGTH) }
    /// As the kernels take it.
    package var panels: MartletPanels { panels(ofMatrix: 0) }

    func panels(ofMatrix index: Int) -> MartletPanels {
        MartletPanels(
            base: memory.pointer(at: index * panelCount * panelBytes), panelBytes: Int64(panelBytes), format: format)
    }

    var panelBytes: Int { format.panelBytes(inputs: inputs) }

    private init(format: MartletPanelFormat, count: Int, outputs: Int, inputs: Int, memory: AlignedMemory) {
        self.format = format
        self.count = count
        self.outputs = outputs
        self.inputs = inputs
        self.memory = memory
    }

    package static func pack(
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
        guard let byteCount = byteCount(format, count: tensor.count, rows: tensor.rows, columns: tensor.columns)
        else {
            throw DeviceError(code: .outOfMemory, message: "a weight is too large to address")
        }
        let weight = PanelWeight(
            format: format, count: tensor.count, outputs: tensor.rows, inputs: tensor.columns,
            memory: try AlignedMemory(byteCount: byteCount))
        let job = PackingJob(tensor: tensor, weight: weight)
        pool.run(job)
        return job.fits ? weight : nil
    }

    /// Bytes of a packed matrix, nil where they can't be addressed.
    static func byteCount(_ format: MartletPanelFormat, count: Int = 1, rows: Int, columns: Int) -> Int? {
        let (panels, tooMany) = panelCount(outputs: rows).multipliedReportingOverflow(by: count)
        let (bytes, overflow) = format.panelBytes(inputs: columns).multipliedReportingOverflow(by: panels)
        return overflow || tooMany ? nil : bytes
    }

    /// Reads one row of the original matrix back: an embedding.
    package func unpack(row: Int, into output: UnsafeMutablePointer<Float>) {
        let panel = memory.base + row / Self.panelColumns * panelBytes
        let bytes = panel.assumingMemoryBound(to: UInt8.self)
        let (column, blocks, inputs) = (Int64(row % Self.panelColumns), Int64(blocks), Int64(inputs))
        switch format {
        case .Q4_1: martlet_unpack_q4_1(bytes, column, blocks, output)
        case .Q4_0: martlet_unpack_q4_0(bytes, column, blocks, output)
        case .Q8_0: martlet_unpack_q8_0(bytes, column, blocks, output)
        case .words: martlet_unpack_words(bytes, column, inputs, output)
        case .bfloat16:
            martlet_unpack_bf16(panel.assumingMemoryBound(to: UInt16.self), column, inputs, output)
        case .twelveBit: martlet_unpack_twelve_bit(bytes, column, inputs, output)
        default: martlet_unpack_blocks(format, bytes, column, blocks, output)
        }
    }
}
